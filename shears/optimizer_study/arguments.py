"""Checks of what is given to Part A's optimizers; each error names the argument."""

import math
from typing import Any, Dict, Optional, Tuple  # copies also run on Python 3.8

from shears.runtime.backend import tf

Tree = Any  #: a tensor, or tensors nested in dictionaries, lists and tuples
POSITIVE = ("learning_rate", "epsilon")
SHARES = ("momentum", "rho", "beta_1", "beta_2")  # of an average
UNROUNDED = ("epsilon", "rho")  # Keras rounds the other numbers to float32


def _number(name: str, value: Any) -> Optional[float]:
    """Returns a setting's value; None for a tensor in a graph, which has none yet."""
    try:
        if hasattr(value, "dtype"):  # TensorFlow's, NumPy's or Keras'
            value = tf.convert_to_tensor(value)
            good = value.dtype.is_floating or value.dtype.is_integer
            good = good and value.shape.rank in (0, None)
            known = hasattr(value, "numpy")
        else:
            good = isinstance(value, (int, float)) and not isinstance(value, bool)
            known = True
        number = float(value) if good and known else None
    except (TypeError, ValueError, OverflowError):
        good, number = False, None
    if not good:
        found = " ".join(repr(value).split())[:60]
        raise ValueError(f"{name}: found {found}, expected a number")
    return number


def _check_range(name: str, number: float, dtype: Optional[tf.DType] = None) -> None:
    """Checks a setting's range, after it is rounded to a dtype."""
    rounded, where = number, ""
    if dtype:
        rounded = math.inf
        if number <= float(dtype.max):
            rounded = float(dtype.as_numpy_dtype(number))
        where = f", which is {rounded} in {dtype.name}"
    enough = 0 < rounded if name in POSITIVE else 0 <= rounded
    if not enough or not rounded < (1 if name in SHARES else math.inf):
        bound = "more than 0" if name in POSITIVE else "at least 0"
        limit = "less than 1" if name in SHARES else "finite"
        raise ValueError(f"{name}: found {number}{where}, expected {bound} and {limit}")


def check_settings(**settings: Any) -> Dict[str, Any]:
    """Checks settings by their names, and returns them.

    Raises:
        ValueError: One is not a number or is outside its range. A tensor inside a graph
            has no value to check yet.
    """
    for name, value in settings.items():
        number = _number(name, value)
        if number is not None:
            _check_range(name, number)
            if name not in UNROUNDED and not hasattr(value, "dtype"):
                _check_range(name, number, tf.float32)
    return settings


def _tensors(name: str, tree: Tree) -> Tree:
    """Converts every leaf to a tensor of floating-point numbers."""

    def convert(leaf: Any) -> tf.Tensor:
        if leaf is None:
            raise ValueError(f"{name}: found None, expected a tensor")
        try:
            tensor = tf.convert_to_tensor(leaf)
        except (TypeError, ValueError):
            found = type(leaf).__name__
            raise ValueError(f"{name}: found {found}, expected a tensor") from None
        if not tensor.dtype.is_floating:
            raise ValueError(
                f"{name}: found {tensor.dtype.name}, expected a floating-point dtype"
            )
        return tensor

    return tf.nest.map_structure(convert, tree)


def _matching(name: str, tree: Tree, parameters: Tree) -> Tree:
    """Checks that a tree has the parameters' structure, shapes and dtypes."""
    tree = _tensors(name, tree)
    try:
        tf.nest.assert_same_structure(parameters, tree)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: found a different structure from the parameters', expected a "
            "tensor for each parameter, nested in the same way"
        ) from None
    pairs = zip(tf.nest.flatten(parameters), tf.nest.flatten(tree))
    for place, (x, found) in enumerate(pairs):
        if found.dtype != x.dtype or not found.shape.is_compatible_with(x.shape):
            raise ValueError(
                f"{name}: number {place} is {found.dtype.name} {found.shape}, expected "
                f"{x.dtype.name} {x.shape}, like its parameter"
            )
    return tree


def _check_step(step: Any) -> None:
    """Checks a number of updates."""
    number = _number("state.step", step)
    whole = getattr(step, "dtype", None) is None or tf.as_dtype(step.dtype).is_integer
    if not whole or number is not None and not (0 <= number and number % 1 == 0):
        found = "a fraction" if number is None else number
        raise ValueError(f"state.step: found {found}, expected a whole number >= 0")


def check_parameters(parameters: Tree, settings: Dict[str, Any]) -> Tree:
    """Converts parameters to tensors; checks settings as they are in their dtypes.

    Raises:
        ValueError: A parameter is not of a floating-point dtype, or a setting is
            outside its range once it is rounded to one, such as an epsilon of 0.
    """
    parameters = _tensors("parameters", parameters)
    dtypes = {x.dtype.name: x.dtype for x in tf.nest.flatten(parameters)}
    for name, value in settings.items():
        number = _number(name, value)
        for dtype in dtypes.values():
            if number is not None:
                _check_range(name, number, dtype)
    return parameters


def check_update(
    gradients: Tree,
    state: Any,
    parameters: Tree,
    kind: Any,
    settings: Dict[str, Any],
) -> Tuple[Tree, Any, Tree]:
    """Checks what an update is given; returns it as tensors.

    Args:
        gradients: Of the parameters' structure, shapes and dtypes.
        state: Each of its trees, too; a step is a whole number.
        parameters: Of floating-point dtypes.
        kind: The state's class, a named tuple.
        settings: The optimizer's.

    Raises:
        ValueError: An argument does not match; it is named.
    """
    parameters = check_parameters(parameters, settings)
    gradients = _matching("gradients", gradients, parameters)
    if not isinstance(state, kind):
        found, expected = type(state).__name__, kind.__name__
        raise ValueError(f"state: found {found}, expected {expected}, as from init")
    trees = {}
    for field, value in zip(kind._fields, state):
        if field == "step":
            _check_step(value)
            trees[field] = value
        else:
            trees[field] = _matching(f"state.{field}", value, parameters)
    return gradients, kind(**trees), parameters

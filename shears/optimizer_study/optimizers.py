"""Part A's optimizers, each a pair of pure functions: (init, update).

`init(parameters)` makes an optimizer's state, and `update(gradients, state,
parameters)` returns the new parameters and the new state; nothing is changed in place.
Parameters are a tensor or tensors nested in dictionaries, lists and tuples. Gradients
have the same structure, shapes and dtypes; the dtype is kept. Both functions raise a
ValueError that names the argument that is wrong, and run eagerly or in a `tf.function`.

The order of the operations is Keras', and so is the rounding of the settings, so that
results agree to the last bits: learning rates, momentum, AdaGrad's initial accumulator
and the powers of Adam's betas are float32 numbers even where parameters are float64,
unless they are given as float64 tensors.
"""

from __future__ import annotations  # the notebook's copy also runs on old Pythons

import math
from typing import Any, Callable, NamedTuple

from shears.runtime.backend import tf

Tree = Any  # a tensor, or tensors nested in dictionaries, lists and tuples


class Optimizer(NamedTuple):
    """An optimizer.

    Attributes:
        init: Makes the state from the parameters.
        update: Makes (parameters, state) from (gradients, state, parameters).
    """

    init: Callable[[Tree], NamedTuple]
    update: Callable[[Tree, NamedTuple, Tree], tuple[Tree, NamedTuple]]


class GradientDescentState(NamedTuple):
    """Gradient descent remembers nothing."""


class MomentumState(NamedTuple):
    """The velocity: one tensor a parameter, of its shape and dtype."""

    velocity: Tree


class AdaGradState(NamedTuple):
    """The sum of squared gradients: one tensor a parameter, of its shape and dtype."""

    accumulator: Tree


class RMSPropState(NamedTuple):
    """The moving average of squared gradients, one tensor a parameter."""

    second: Tree


class AdamState(NamedTuple):
    """Adam's memory.

    Attributes:
        step: Updates made; int64 scalar.
        first: Moving average of the gradients, one tensor a parameter.
        second: Moving average of the squared gradients, one tensor a parameter.
    """

    step: tf.Tensor
    first: Tree
    second: Tree


def _check_range(name: str, value: Any, low: float, high: float, *, open_: bool):
    """Checks a setting that is a number; a tensor inside a graph has no value yet."""
    if tf.is_tensor(value) and not hasattr(value, "numpy"):
        return value
    number = float(value)
    if not (low < number if open_ else low <= number) or not number < high:
        bound = "more than" if open_ else "at least"
        limit = "" if math.isinf(high) else f" and less than {high:g}"
        raise ValueError(f"{name}: found {number}, expected {bound} {low:g}{limit}")
    return value


def _positive(name: str, value: Any):
    return _check_range(name, value, 0, math.inf, open_=True)


def _share(name: str, value: Any):
    return _check_range(name, value, 0, 1, open_=False)


def _tensors(name: str, tree: Tree) -> Tree:
    """Makes every leaf a tensor of floating-point numbers."""

    def convert(leaf):
        if leaf is None:
            raise ValueError(f"{name}: found None where a tensor is expected")
        tensor = tf.convert_to_tensor(leaf)
        if not tensor.dtype.is_floating:
            raise ValueError(
                f"{name}: found {tensor.dtype.name}, expected a floating-point dtype"
            )
        return tensor

    return tf.nest.map_structure(convert, tree)


def _matching(gradients: Tree, parameters: Tree) -> tuple[Tree, Tree]:
    """Checks that gradients fit parameters in structure, shape and dtype."""
    parameters, gradients = (
        _tensors("parameters", parameters),
        _tensors("gradients", gradients),
    )
    try:
        tf.nest.assert_same_structure(parameters, gradients)
    except (TypeError, ValueError):
        raise ValueError(
            "gradients: found another structure than the parameters': expected a "
            "gradient for each parameter, nested alike"
        ) from None
    pairs = zip(tf.nest.flatten(parameters), tf.nest.flatten(gradients))
    for place, (parameter, gradient) in enumerate(pairs):
        if gradient.dtype != parameter.dtype or not gradient.shape.is_compatible_with(
            parameter.shape
        ):
            raise ValueError(
                f"gradients: number {place} is {gradient.dtype.name} "
                f"{gradient.shape}, expected {parameter.dtype.name} {parameter.shape}, "
                "its parameter's"
            )
    return gradients, parameters


def _setting(value: Any, dtype: tf.DType) -> tf.Tensor:
    """Makes a setting a tensor, as Keras does: a Python number by way of float32."""
    return tf.cast(value, dtype)


def _exact(value: Any, dtype: tf.DType) -> tf.Tensor:
    """Makes a setting a tensor where Keras does not round it to float32."""
    return tf.cast(value, dtype) if tf.is_tensor(value) else tf.constant(value, dtype)


def _map(function: Callable, *trees: Tree) -> Tree:
    return tf.nest.map_structure(function, *trees)


def gradient_descent(learning_rate: float) -> Optimizer:
    r"""Gradient descent, with the gradient over all samples (Cauchy 1847).

        x <- x - learning_rate * g

    Args:
        learning_rate: Step size, in parameters per gradient; more than 0.

    Raises:
        ValueError: The learning rate is not positive.

    Example:
        >>> descend = gradient_descent(0.1)
        >>> x = tf.constant([1.0])
        >>> x, state = descend.update(2 * x, descend.init(x), x)  # of x ** 2
        >>> x.numpy().tolist()
        [0.800000011920929]
    """
    _positive("learning_rate", learning_rate)

    def init(parameters: Tree) -> GradientDescentState:
        _tensors("parameters", parameters)
        return GradientDescentState()

    def update(gradients: Tree, state: GradientDescentState, parameters: Tree):
        gradients, parameters = _matching(gradients, parameters)

        def step(x, g):
            return x - g * _setting(learning_rate, x.dtype)

        return _map(step, parameters, gradients), state

    return Optimizer(init, update)


def stochastic_gradient_descent(learning_rate: float) -> Optimizer:
    """Stochastic gradient descent: the gradient is of one sample, drawn at random.

        x <- x - learning_rate * g_i

    The update is gradient descent's; what differs is the sample it is fed. Robbins and
    Monro (1951), A stochastic approximation method, equation 9.

    Args:
        learning_rate: Step size, in parameters per gradient; more than 0. Held
            constant, it lets the parameters end in a ball around the solution, the
            smaller the smaller it is.

    Raises:
        ValueError: The learning rate is not positive.

    Example:
        >>> descend = stochastic_gradient_descent(0.5)
        >>> w = tf.constant(0.0)
        >>> for x, y in ((1.0, 2.0), (2.0, 4.0)):  # of (w x - y) ** 2 / 2
        ...     w, _ = descend.update((w * x - y) * x, descend.init(w), w)
        >>> float(w)
        3.0
    """
    return gradient_descent(learning_rate)


def momentum(learning_rate: float, momentum: float = 0.9) -> Optimizer:
    """Gradient descent with momentum: one half of what Adam is made of.

        v <- momentum * v - learning_rate * g
        x <- x + v

    Polyak (1964), Some methods of speeding up the convergence of iteration methods,
    equation 9.

    Args:
        learning_rate: Step size, in parameters per gradient; more than 0.
        momentum: Share of the velocity that is kept; in [0, 1).

    Raises:
        ValueError: An argument is outside its range.

    Example:
        >>> roll = momentum(0.1, momentum=0.5)
        >>> x = tf.constant(1.0)
        >>> state = roll.init(x)
        >>> for _ in range(2):
        ...     x, state = roll.update(tf.constant(1.0), state, x)
        >>> round(float(x), 6)
        0.75
    """
    _positive("learning_rate", learning_rate)
    _share("momentum", momentum)

    def init(parameters: Tree) -> MomentumState:
        return MomentumState(_map(tf.zeros_like, _tensors("parameters", parameters)))

    def update(gradients: Tree, state: MomentumState, parameters: Tree):
        gradients, parameters = _matching(gradients, parameters)

        def accelerate(v, g):
            rate, kept = _setting(learning_rate, g.dtype), _setting(momentum, g.dtype)
            return v * kept - g * rate

        velocity = _map(accelerate, state.velocity, gradients)
        return _map(tf.add, parameters, velocity), MomentumState(velocity)

    return Optimizer(init, update)


def adagrad(
    learning_rate: float, initial_accumulator: float = 0.1, epsilon: float = 1e-7
) -> Optimizer:
    """AdaGrad: smaller steps for coordinates whose gradients have been large.

        G <- G + g^2
        x <- x - learning_rate * g / sqrt(G + epsilon)

    Each coordinate has its own step size, which only falls. Duchi, Hazan and Singer
    (2011), Adaptive subgradient methods for online learning and stochastic
    optimization, figure 1 with the diagonal of G.

    Args:
        learning_rate: Step size, in parameters: a first step is at most so long; more
            than 0.
        initial_accumulator: What G starts from, in squared gradients; at least 0.
        epsilon: Keeps the root from zero, in squared gradients: it is added inside the
            root, as in Keras, not behind it as the paper's delta; more than 0.

    Raises:
        ValueError: An argument is outside its range.

    Example:
        >>> adapt = adagrad(0.1, initial_accumulator=0.0)
        >>> x, g = tf.constant([[1.0, 1.0], [100.0, 0.01]], tf.float64)
        >>> x, _ = adapt.update(g, adapt.init(x), x)
        >>> x.numpy().round(3).tolist()  # the scale of the gradient does not matter
        [0.9, 0.9]
    """
    _positive("learning_rate", learning_rate)
    _check_range("initial_accumulator", initial_accumulator, 0, math.inf, open_=False)
    _positive("epsilon", epsilon)

    def init(parameters: Tree) -> AdaGradState:
        def start(x):
            return tf.ones_like(x) * _setting(initial_accumulator, x.dtype)

        return AdaGradState(_map(start, _tensors("parameters", parameters)))

    def update(gradients: Tree, state: AdaGradState, parameters: Tree):
        gradients, parameters = _matching(gradients, parameters)
        total = _map(lambda a, g: a + tf.square(g), state.accumulator, gradients)

        def step(x, g, a):
            root = tf.sqrt(a + _exact(epsilon, x.dtype))
            return x - _setting(learning_rate, x.dtype) * g / root

        return _map(step, parameters, gradients, total), AdaGradState(total)

    return Optimizer(init, update)


def rmsprop(learning_rate: float, rho: float = 0.9, epsilon: float = 1e-7) -> Optimizer:
    """RMSProp: AdaGrad with a moving average in place of the sum; Adam's other half.

        v <- rho * v + (1 - rho) * g^2
        x <- x - learning_rate * g / sqrt(v + epsilon)

    Tieleman and Hinton (2012), Neural networks for machine learning, lecture 6.5.

    Args:
        learning_rate: Step size, in parameters; more than 0.
        rho: Share of the average that is kept; in [0, 1).
        epsilon: Keeps the root from zero, in squared gradients, added inside the root;
            more than 0.

    Raises:
        ValueError: An argument is outside its range.

    Example:
        >>> adapt = rmsprop(0.1, rho=0.75)
        >>> x = tf.constant(1.0)
        >>> x, _ = adapt.update(tf.constant(8.0), adapt.init(x), x)
        >>> round(float(x), 5)  # 8 / sqrt(0.25 * 8 ** 2) = 2
        0.8
    """
    _positive("learning_rate", learning_rate)
    _share("rho", rho)
    _positive("epsilon", epsilon)

    def init(parameters: Tree) -> RMSPropState:
        return RMSPropState(_map(tf.zeros_like, _tensors("parameters", parameters)))

    def update(gradients: Tree, state: RMSPropState, parameters: Tree):
        gradients, parameters = _matching(gradients, parameters)

        def average(v, g):
            return _exact(rho, g.dtype) * v + tf.square(g) * _exact(1 - rho, g.dtype)

        def step(x, g, v):
            root = tf.sqrt(v + _exact(epsilon, x.dtype))
            return x - _setting(learning_rate, x.dtype) * g / root

        second = _map(average, state.second, gradients)
        return _map(step, parameters, gradients, second), RMSPropState(second)

    return Optimizer(init, update)


def adam(
    learning_rate: float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> Optimizer:
    """Adam: momentum's direction with RMSProp's step size, both freed of their bias.

        t <- t + 1
        m <- beta_1 * m + (1 - beta_1) * g
        v <- beta_2 * v + (1 - beta_2) * g^2
        rate <- learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)
        x <- x - rate * m / (sqrt(v) + epsilon)

    Kingma and Ba (2015), Adam: a method for stochastic optimization, algorithm 1 in the
    order that the end of section 2 gives.

    Args:
        learning_rate: Step size, in parameters: no step is much longer; more than 0.
        beta_1: Share of the average of gradients that is kept; in [0, 1).
        beta_2: Share of the average of squared gradients that is kept; in [0, 1).
        epsilon: The paper's epsilon-hat, in gradients, added behind the root of the v
            that still has its bias, as in Keras; algorithm 1's epsilon is
            epsilon / sqrt(1 - beta_2^t). More than 0.

    Raises:
        ValueError: An argument is outside its range.

    Example:
        >>> adapt = adam(0.1)
        >>> x = tf.constant(1.0)
        >>> x, state = adapt.update(tf.constant(50.0), adapt.init(x), x)
        >>> round(float(x), 5), int(state.step)  # a first step is learning_rate long
        (0.9, 1)
    """
    _positive("learning_rate", learning_rate)
    _share("beta_1", beta_1)
    _share("beta_2", beta_2)
    _positive("epsilon", epsilon)

    def init(parameters: Tree) -> AdamState:
        zeros = _map(tf.zeros_like, _tensors("parameters", parameters))
        return AdamState(tf.zeros([], tf.int64), zeros, zeros)

    def update(gradients: Tree, state: AdamState, parameters: Tree):
        gradients, parameters = _matching(gradients, parameters)
        count = state.step + 1

        def average(m, g):
            return m + (g - m) * _exact(1 - beta_1, g.dtype)

        def average_square(v, g):
            return v + (tf.square(g) - v) * _exact(1 - beta_2, g.dtype)

        def step(x, m, v):
            taken = tf.cast(count, x.dtype)
            power_1 = tf.pow(_setting(beta_1, x.dtype), taken)
            power_2 = tf.pow(_setting(beta_2, x.dtype), taken)
            rate = _setting(learning_rate, x.dtype) * tf.sqrt(1 - power_2)
            rate = rate / (1 - power_1)
            return x - m * rate / (tf.sqrt(v) + _exact(epsilon, x.dtype))

        first = _map(average, state.first, gradients)
        second = _map(average_square, state.second, gradients)
        parameters = _map(step, parameters, first, second)
        return parameters, AdamState(count, first, second)

    return Optimizer(init, update)

"""Part A's study: optimizers on data sets, over many learning rates.

A cell is one optimizer in one implementation (ours or Keras') on one data set. All its
runs start with all parameters zero, and both implementations see the same samples in
the same order, in the same compiled loop.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from shears.optimizer_study import optimizers, regression
from shears.optimizer_study.arguments import Tree, check_settings
from shears.optimizer_study.regression import Problem
from shears.runtime.backend import tf

SHARE = 0.01  #: of the way to the solution; with no more left, an optimizer has arrived
POINTS = 120  # per curve, at most


class Method(NamedTuple):
    """An optimizer of the study.

    Attributes:
        samples: What gradients are computed from: "all" samples, "one", or both in
            turn. Only this distinguishes gradient descent from SGD.
        ours: Creates our optimizer from a learning rate.
        keras: Keras' name for the same optimizer.
    """

    samples: tuple[str, ...]
    ours: Callable[[float], optimizers.Optimizer]
    keras: str


#: The optimizers of the study, by name.
METHODS = {
    "gradient_descent": Method(("all",), optimizers.gradient_descent, "SGD"),
    "sgd": Method(("one",), optimizers.stochastic_gradient_descent, "SGD"),
    "adagrad": Method(("all", "one"), optimizers.adagrad, "Adagrad"),
    "adam": Method(("all", "one"), optimizers.adam, "Adam"),
}


class StatefulOptimizer(NamedTuple):
    """An optimizer together with the variables that it updates.

    Attributes:
        parameters: Weights (D,) and bias ().
        reset: Resets parameters and state, and sets the learning rate.
        apply: Makes one update from gradients.
    """

    parameters: list[tf.Variable]
    reset: Callable[[float], None]
    apply: Callable[[list[tf.Tensor]], None]


def our_optimizer(
    method: Method, width: int, dtype: tf.DType = tf.float32
) -> StatefulOptimizer:
    """Wraps our optimizer, whose functions are pure, with variables for its state."""
    parameters = [tf.Variable(tf.zeros(width, dtype)), tf.Variable(tf.zeros([], dtype))]
    rate = tf.Variable(1.0, dtype=tf.float32)  # as in Keras
    optimizer = method.ours(rate)
    state = tf.nest.map_structure(tf.Variable, optimizer.init(parameters))

    def assign(variables: Tree, values: Tree) -> None:
        tf.nest.map_structure(lambda v, x: v.assign(x), variables, values)

    def reset(learning_rate: float) -> None:
        rate.assign(learning_rate)
        assign(parameters, tf.nest.map_structure(tf.zeros_like, parameters))
        assign(state, optimizer.init(parameters))

    def apply(gradients: list[tf.Tensor]) -> None:
        new_parameters, new_state = optimizer.update(gradients, state, parameters)
        assign(parameters, new_parameters)
        assign(state, new_state)

    return StatefulOptimizer(parameters, reset, apply)


def keras_optimizer(
    method: Method, width: int, dtype: tf.DType = tf.float32
) -> StatefulOptimizer:
    """Wraps Keras' optimizer of the same name and settings."""
    parameters = [tf.Variable(tf.zeros(width, dtype)), tf.Variable(tf.zeros([], dtype))]
    optimizer = getattr(tf.keras.optimizers, method.keras)(1.0)
    optimizer.build(parameters)
    start = [tf.identity(variable.value) for variable in optimizer.variables]

    def reset(learning_rate: float) -> None:
        for variable, value in zip(optimizer.variables, start, strict=True):
            variable.assign(value)
        optimizer.learning_rate = learning_rate
        for parameter in parameters:
            parameter.assign(tf.zeros_like(parameter))

    def apply(gradients: list[tf.Tensor]) -> None:
        optimizer.apply(gradients, parameters)

    return StatefulOptimizer(parameters, reset, apply)


#: The functions that make an optimizer, by implementation.
IMPLEMENTATIONS = {"ours": our_optimizer, "keras": keras_optimizer}


def learning_rates(lowest: float, highest: float, count: int) -> list[float]:
    """Spaces learning rates evenly in their logarithm, to four digits."""
    return [float(f"{rate:.4g}") for rate in np.geomspace(lowest, highest, count)]


def points(updates: int) -> np.ndarray:
    """Spaces the updates at which a curve is drawn evenly in their logarithm."""
    return np.unique(np.geomspace(1, updates, POINTS).astype(np.int32))


def sample_order(count: int, updates: int, seed: int = 0) -> np.ndarray:
    """Draws the sample of each update, each once per epoch: (updates,) int32."""
    rng = np.random.default_rng(seed)
    epochs = [rng.permutation(count) for _ in range(math.ceil(updates / count))]
    return np.concatenate(epochs)[:updates].astype(np.int32)


def compile_run(
    optimizer: StatefulOptimizer,
    problem: Problem,
    samples: str,
    ends: np.ndarray,
    order: np.ndarray,
) -> Callable[[], tuple[tf.Tensor, tf.Tensor]]:
    """Compiles all updates of a run into one loop.

    Args:
        optimizer: Makes the updates.
        problem: The data to fit.
        samples: "all" or "one".
        ends: (K,) updates after which the parameters are recorded, increasing.
        order: (updates,) int32, the sample of each update; not used with "all".

    Returns:
        A function that makes the run. It returns the recorded parameters (K, D + 1) and
        the number of updates until their distance to the exact solution was at most
        `SHARE` of that solution's length (-1 if never).
    """
    weights, bias = optimizer.parameters
    features, targets = (tf.constant(array, weights.dtype) for array in problem)
    order, ends = tf.constant(order), tf.constant(ends)
    exact = tf.constant(regression.solve(problem), weights.dtype)
    near = SHARE * tf.norm(exact)
    count, width = features.shape

    def gradients(number: tf.Tensor) -> list[tf.Tensor]:
        """Differentiates the mean squared error over the samples of the update."""
        if samples == "one":
            row = features[order[number]]
            error = tf.tensordot(row, weights, 1) + bias - targets[order[number]]
            return [2 * error * row, 2 * error]
        errors = tf.linalg.matvec(features, weights) + bias - targets
        products = tf.linalg.matvec(features, errors, transpose_a=True)
        return [products * (2 / count), tf.reduce_sum(errors) * (2 / count)]

    def flat() -> tf.Tensor:
        return tf.concat([weights, bias[None]], 0)

    @tf.function(jit_compile=True)
    def run() -> tuple[tf.Tensor, tf.Tensor]:
        curve = tf.TensorArray(
            weights.dtype, len(ends), element_shape=(width + 1,), clear_after_read=False
        )
        number, arrived = tf.constant(0), tf.constant(-1)
        for k in tf.range(len(ends)):
            while number < ends[k]:
                optimizer.apply(gradients(number))
                number += 1
                if arrived < 0 and tf.norm(flat() - exact) <= near:
                    arrived = number
            curve = curve.write(k, flat())
        return curve.stack(), arrived

    return run


def measure(
    problem: Problem,
    optimizer: str,
    implementation: str,
    *,
    learning_rates: Sequence[float],
    updates: int,
) -> dict[str, Any]:
    """Measures a cell.

    Args:
        problem: The data to fit.
        optimizer: A key of `METHODS`.
        implementation: A key of `IMPLEMENTATIONS`.
        learning_rates: Each more than 0.
        updates: Updates per run.

    Returns:
        "rows" and "columns" of the features, the Hessian's "condition" number, the
        exact solution's "least_loss", and "runs", one for each choice of samples and
        learning rate: "updates", "loss" and "distance" (lists: mean squared error,
        distance to the exact solution as a share of that solution's length; None where
        not finite), "arrived" (updates until that share was `SHARE`, or None),
        "diverged", "microseconds" per update (without compiling).

    Raises:
        ValueError: An argument is outside its range; it is named.
    """
    for argument, value, known in (
        ("optimizer", optimizer, METHODS),
        ("implementation", implementation, IMPLEMENTATIONS),
    ):
        if value not in known:
            raise ValueError(f"{argument}: found {value}, expected {', '.join(known)}")
    if not learning_rates or updates < 1:
        raise ValueError(
            f"found {len(learning_rates)} learning_rates and {updates} updates, "
            "expected at least one of each"
        )
    for rate in learning_rates:
        check_settings(learning_rate=rate)
    method = METHODS[optimizer]
    exact = regression.solve(problem)
    rows, columns = problem.features.shape
    stateful = IMPLEMENTATIONS[implementation](method, columns)
    ends, order = points(updates), sample_order(rows, updates)
    start = regression.losses(problem, np.zeros((1, len(exact))))[0]
    runs = []
    for samples in method.samples:
        run = compile_run(stateful, problem, samples, ends, order)
        stateful.reset(learning_rates[0])
        run()  # compiles
        for rate in learning_rates:
            stateful.reset(rate)
            began = time.perf_counter()
            curve, arrived = (tensor.numpy() for tensor in run())
            seconds = time.perf_counter() - began
            # Divergence is a result, not a fault.
            with np.errstate(over="ignore", invalid="ignore"):
                curve = curve.astype(float)
                loss = regression.losses(problem, curve)
                away = np.linalg.norm(curve - exact, axis=1) / np.linalg.norm(exact)
            runs.append(
                {
                    "samples": samples,
                    "learning_rate": rate,
                    "updates": ends.tolist(),
                    # All digits: the excess over the least loss is in the last ones.
                    "loss": [_finite(value, 17) for value in loss],
                    "distance": [_finite(value) for value in away],
                    "arrived": int(arrived) if arrived > 0 else None,
                    "diverged": not loss[-1] <= start,
                    "microseconds": 1e6 * seconds / updates,
                }
            )
    return {
        "rows": rows,
        "columns": columns,
        "condition": regression.condition(problem),
        "least_loss": float(regression.losses(problem, exact[None])[0]),
        "runs": runs,
    }


def _finite(value: float, digits: int = 6) -> float | None:
    """Rounds a number for JSON; None if it is not finite, which JSON cannot say."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def best_run(
    runs: Sequence[Mapping[str, Any]], samples: str
) -> Mapping[str, Any] | None:
    """Chooses the best learning rate for a way to take samples.

    Args:
        runs: The runs of a cell.
        samples: "all" or "one".

    Returns:
        The run that arrives after the fewest updates; if none does, the one that ends
        closest to the solution; None if all diverge.
    """
    stable = [run for run in runs if run["samples"] == samples and not run["diverged"]]

    def key(run: Mapping[str, Any]) -> tuple[float, float]:
        return run["arrived"] or math.inf, run["distance"][-1]

    return min(stable, key=key, default=None)


def difference(
    ours: Sequence[Mapping[str, Any]], keras: Sequence[Mapping[str, Any]]
) -> float:
    """Computes the largest relative difference between two cells' losses.

    Runs that diverge are left out: at some point they only amplify rounding.
    """
    largest = 0.0
    for mine, theirs in zip(ours, keras, strict=True):
        if not mine["diverged"] and not theirs["diverged"]:
            a, b = (np.array(run["loss"], float) for run in (mine, theirs))
            largest = max(largest, float(np.nanmax(np.abs(a - b) / b)))
    return largest


class Valley(NamedTuple):
    """A problem with two parameters, and paths through it.

    Attributes:
        hessian: (2, 2) of the mean squared error.
        exact: (2,), where it is least.
        paths: (updates + 1, 2) for each optimizer, by name.
    """

    hessian: np.ndarray
    exact: np.ndarray
    paths: dict[str, np.ndarray]


def walk_valley(updates: int = 60) -> Valley:
    """Runs our four optimizers in a valley whose Hessian has condition number 20."""
    features = regression.conditioned(20, width=2).features
    exact = np.array([2.0, 1.0])
    noise = np.random.default_rng(1).normal(size=len(features))
    targets = features @ exact + 0.3 * noise
    exact = np.linalg.lstsq(features, targets)[0]
    order = sample_order(len(features), updates)
    rates = {"gradient_descent": 0.9, "sgd": 0.1, "adagrad": 1.0, "adam": 0.3}

    def steps(name: str) -> Iterator[np.ndarray]:
        method = METHODS[name]
        optimizer = method.ours(rates[name])
        place = tf.zeros(2, tf.float64)
        state = optimizer.init(place)
        yield place.numpy()
        for row in order:
            seen = slice(None) if "all" in method.samples else slice(row, row + 1)
            errors = features[seen] @ place.numpy() - targets[seen]
            gradient = tf.constant(2 * errors @ features[seen] / len(errors))
            place, state = optimizer.update(gradient, state, place)
            yield place.numpy()

    paths = {name: np.array(list(steps(name))) for name in METHODS}
    return Valley(2 * features.T @ features / len(features), exact, paths)

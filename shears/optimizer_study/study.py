"""Part A's study: optimizers on data sets, over many learning rates.

A cell is one optimizer of one implementation (ours or Keras') on one data set. All its
runs start from zero parameters, and both implementations see the same samples in the
same order, in the same compiled loop.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from shears.optimizer_study import optimizers, regression
from shears.optimizer_study.regression import Problem
from shears.runtime.backend import tf

SHARE = 0.01  # of the way to the solution that is left when an optimizer has arrived
POINTS = 120  # of a curve


class Method(NamedTuple):
    """An optimizer of the study.

    Attributes:
        samples: What a gradient is of: "all" samples, "one", or each in turn. What is
            called gradient descent or SGD is so by its samples.
        ours: Makes ours from a learning rate.
        keras: Keras' name of the same.
    """

    samples: tuple[str, ...]
    ours: Callable[[float], optimizers.Optimizer]
    keras: str


METHODS = {
    "gradient_descent": Method(("all",), optimizers.gradient_descent, "SGD"),
    "sgd": Method(("one",), optimizers.stochastic_gradient_descent, "SGD"),
    "adagrad": Method(("all", "one"), optimizers.adagrad, "Adagrad"),
    "adam": Method(("all", "one"), optimizers.adam, "Adam"),
}


class Trainer(NamedTuple):
    """An optimizer with its variables.

    Attributes:
        parameters: Weights (D,) and bias ().
        reset: Puts everything back to the start, with a learning rate.
        apply: Makes one update from gradients.
    """

    parameters: list[tf.Variable]
    reset: Callable[[float], None]
    apply: Callable[[list[tf.Tensor]], None]


def our_trainer(method: Method, width: int, dtype: tf.DType = tf.float32) -> Trainer:
    """Makes a trainer of our optimizer; the functions are pure, the variables its."""
    parameters = [tf.Variable(tf.zeros(width, dtype)), tf.Variable(tf.zeros([], dtype))]
    rate = tf.Variable(1.0, dtype=tf.float32)  # as Keras keeps it
    optimizer = method.ours(rate)
    state = tf.nest.map_structure(tf.Variable, optimizer.init(parameters))

    def assign(variables, values) -> None:
        tf.nest.map_structure(lambda v, x: v.assign(x), variables, values)

    def reset(learning_rate: float) -> None:
        rate.assign(learning_rate)
        assign(parameters, tf.nest.map_structure(tf.zeros_like, parameters))
        assign(state, optimizer.init(parameters))

    def apply(gradients: list[tf.Tensor]) -> None:
        new, after = optimizer.update(gradients, state, parameters)
        assign(parameters, new)
        assign(state, after)

    return Trainer(parameters, reset, apply)


def keras_trainer(method: Method, width: int, dtype: tf.DType = tf.float32) -> Trainer:
    """Makes a trainer of Keras' optimizer of the same name and settings."""
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

    return Trainer(parameters, reset, apply)


TRAINERS = {"ours": our_trainer, "keras": keras_trainer}


def learning_rates(lowest: float, highest: float, count: int) -> list[float]:
    """Chooses learning rates evenly in their logarithm, of four digits."""
    return [float(f"{rate:.4g}") for rate in np.geomspace(lowest, highest, count)]


def points(updates: int) -> np.ndarray:
    """Chooses the updates at which a curve is drawn, evenly in their logarithm."""
    return np.unique(np.geomspace(1, updates, POINTS).astype(np.int32))


def sample_order(count: int, updates: int, seed: int = 0) -> np.ndarray:
    """Draws the sample of each update, every one once an epoch: (updates,) int32."""
    rng = np.random.default_rng(seed)
    epochs = [rng.permutation(count) for _ in range(math.ceil(updates / count))]
    return np.concatenate(epochs)[:updates].astype(np.int32)


def compile_run(
    trainer: Trainer,
    problem: Problem,
    samples: str,
    ends: np.ndarray,
    order: np.ndarray,
) -> Callable[[], tuple[tf.Tensor, tf.Tensor]]:
    """Compiles all updates of a run into one loop.

    Args:
        trainer: What makes an update.
        problem: What it fits.
        samples: "all" or "one".
        ends: (K,) updates after which the parameters are noted, rising.
        order: (updates,) int32, the sample of each update; not used with "all".

    Returns:
        A function that makes the run and returns the noted parameters (K, D + 1) and
        how many updates it took to be within `SHARE` of the exact solution's length
        of it (-1 if never).
    """
    weights, bias = trainer.parameters
    features, targets = (tf.constant(array, weights.dtype) for array in problem)
    order, ends = tf.constant(order), tf.constant(ends)
    exact = tf.constant(regression.solve(problem), weights.dtype)
    near = SHARE * tf.norm(exact)
    count, width = features.shape

    def gradients(number: tf.Tensor) -> list[tf.Tensor]:
        """Of the mean squared error over the samples that the update sees."""
        if samples == "one":
            row = features[order[number]]
            error = tf.tensordot(row, weights, 1) + bias - targets[order[number]]
            return [2 * error * row, 2 * error]
        errors = tf.linalg.matvec(features, weights) + bias - targets
        along = tf.linalg.matvec(features, errors, transpose_a=True)
        return [along * (2 / count), tf.reduce_sum(errors) * (2 / count)]

    def flat() -> tf.Tensor:
        return tf.concat([weights, bias[None]], 0)

    @tf.function(jit_compile=True)
    def run() -> tuple[tf.Tensor, tf.Tensor]:
        noted = tf.TensorArray(
            weights.dtype, len(ends), element_shape=(width + 1,), clear_after_read=False
        )
        number, arrived = tf.constant(0), tf.constant(-1)
        for k in tf.range(len(ends)):
            while number < ends[k]:
                trainer.apply(gradients(number))
                number += 1
                if arrived < 0 and tf.norm(flat() - exact) <= near:
                    arrived = number
            noted = noted.write(k, flat())
        return noted.stack(), arrived

    return run


def measure(
    problem: Problem,
    optimizer: str,
    implementation: str,
    *,
    learning_rates: Sequence[float],
    updates: int,
) -> dict:
    """Measures a cell.

    Args:
        problem: What is fitted.
        optimizer: A key of `METHODS`.
        implementation: A key of `TRAINERS`.
        learning_rates: Each more than 0.
        updates: Updates a run makes.

    Returns:
        "rows" and "columns" of the features, the Hessian's "condition" number, and
        "runs", one for each choice of samples and learning rate: "updates", "loss" and
        "distance" (lists: mean squared error, distance to the exact solution as a share
        of that solution's length; None where not finite), "arrived" (updates until that
        share was `SHARE`, or None), "diverged", "microseconds" an update (compiling
        left out).
    """
    method = METHODS[optimizer]
    exact = regression.solve(problem)
    rows, columns = problem.features.shape
    trainer = TRAINERS[implementation](method, columns)
    ends, order = points(updates), sample_order(rows, updates)
    start = regression.losses(problem, np.zeros((1, len(exact))))[0]
    runs = []
    for samples in method.samples:
        run = compile_run(trainer, problem, samples, ends, order)
        trainer.reset(learning_rates[0])
        run()  # compiles
        for rate in learning_rates:
            trainer.reset(rate)
            began = time.perf_counter()
            noted, arrived = (tensor.numpy() for tensor in run())
            seconds = time.perf_counter() - began
            with np.errstate(over="ignore", invalid="ignore"):  # divergence: a result
                noted = noted.astype(float)
                loss = regression.losses(problem, noted)
                away = np.linalg.norm(noted - exact, axis=1) / np.linalg.norm(exact)
            runs.append(
                {
                    "samples": samples,
                    "learning_rate": rate,
                    "updates": ends.tolist(),
                    # In full: what is above the least shows in the last digits only.
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
    """Makes a number for JSON, which has no infinity."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def best_run(runs: Sequence[Mapping], samples: str) -> Mapping | None:
    """Chooses the learning rate that is best for a way to take samples.

    Args:
        runs: Of a cell.
        samples: "all" or "one".

    Returns:
        The run that arrives after the fewest updates; if none does the one that ends
        nearest to the solution; None if all diverge.
    """
    left = [run for run in runs if run["samples"] == samples and not run["diverged"]]

    def key(run: Mapping) -> tuple[float, float]:
        return run["arrived"] or math.inf, run["distance"][-1]

    return min(left, key=key, default=None)


def difference(ours: Sequence[Mapping], keras: Sequence[Mapping]) -> float:
    """Computes the largest difference of two cells' losses, as a share of the loss.

    Runs that diverge are left out: from some point they only amplify rounding.
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
        exact: (2,) where it is least.
        paths: (updates + 1, 2) by an optimizer's name.
    """

    hessian: np.ndarray
    exact: np.ndarray
    paths: dict[str, np.ndarray]


def walk_valley(updates: int = 60) -> Valley:
    """Walks with our four optimizers through a valley, 20 times as long as wide."""
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

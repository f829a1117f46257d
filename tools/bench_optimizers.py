"""Prints the speed of Part A's optimizers, and of the code a user might write instead.

One-sample SGD on the diabetes data, measured over whole epochs: ours in one compiled
loop, a Python loop with GradientTape and Keras' optimizer (eager, and with the step in
a tf.function), and Keras' fit with batch 1. Then Adam updates of as many weights as
Part B's network has: ours against the fused operation that its training uses. All take
turns in one run on one machine, with TensorFlow's default settings.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from shears.model.architecture import PARAMETERS
from shears.optimizer_study import optimizers
from shears.optimizer_study.regression import diabetes
from shears.optimizer_study.study import (
    METHODS,
    compile_run,
    our_optimizer,
    sample_order,
)
from shears.runtime import machine
from shears.runtime.backend import tf
from shears.runtime.output import checked_output

RATE = 0.001


def ours(features: np.ndarray, targets: np.ndarray) -> Callable[[], None]:
    """Returns a function that runs an epoch of our SGD in one compiled loop."""
    problem, count = diabetes(), len(targets)
    optimizer = our_optimizer(METHODS["sgd"], features.shape[1])
    ends, order = np.array([count], np.int32), sample_order(count, count)
    run = compile_run(optimizer, problem, "one", ends, order)
    optimizer.reset(RATE)
    return lambda: run()[0].numpy()


def python_loop(
    features: np.ndarray, targets: np.ndarray, *, compiled: bool
) -> Callable[[], None]:
    """Returns a function that runs an epoch with GradientTape and Keras' SGD."""
    weights = tf.Variable(tf.zeros(features.shape[1]))
    bias = tf.Variable(0.0)
    optimizer = tf.keras.optimizers.SGD(RATE)
    rows = [tf.constant(row) for row in features]
    values = [tf.constant(target) for target in targets]

    def step(row: tf.Tensor, target: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.square(tf.tensordot(row, weights, 1) + bias - target)
        gradients = tape.gradient(loss, [weights, bias])
        optimizer.apply_gradients(zip(gradients, [weights, bias], strict=True))

    take_step = tf.function(step) if compiled else step

    def epoch() -> None:
        for row, value in zip(rows, values, strict=True):
            take_step(row, value)
        weights.numpy()

    return epoch


def keras_fit(features: np.ndarray, targets: np.ndarray) -> Callable[[], None]:
    """Returns a function that runs an epoch of Keras' fit with batch 1."""
    model = tf.keras.Sequential([tf.keras.layers.Dense(1)])
    model.build((None, features.shape[1]))
    model.compile(tf.keras.optimizers.SGD(RATE), "mse")
    return lambda: model.fit(features, targets[:, None], batch_size=1, verbose=0)


def adam_updates(count: int = 20) -> dict[str, Callable[[], None]]:
    """Returns functions that run `count` Adam updates of all weights: ours, fused."""
    rng = np.random.default_rng(0)
    gradient = tf.constant(rng.normal(size=PARAMETERS).astype(np.float32))
    vector, mu, nu = (tf.Variable(tf.zeros(PARAMETERS)) for _ in range(3))
    rule = optimizers.adam(RATE)
    state = tf.nest.map_structure(tf.Variable, rule.init(vector))

    @tf.function
    def own() -> None:
        new, after = rule.update(gradient, state, vector)
        vector.assign(new)
        tf.nest.map_structure(lambda variable, x: variable.assign(x), state, after)

    @tf.function
    def fused(step: tf.Tensor) -> None:
        tf.raw_ops.ResourceApplyAdam(
            var=vector.handle,
            m=mu.handle,
            v=nu.handle,
            beta1_power=tf.pow(0.9, step),
            beta2_power=tf.pow(0.999, step),
            lr=RATE,
            beta1=0.9,
            beta2=0.999,
            epsilon=1e-7,
            grad=gradient,
        )

    def repeat(update: Callable[[], None]) -> Callable[[], None]:
        def work() -> None:
            for _ in range(count):
                update()
            vector[:1].numpy()

        return work

    one = tf.constant(1.0)
    return {"ours": repeat(own), "fused operation": repeat(lambda: fused(one))}


def compare(variants: dict[str, Callable[[], None]], turns: int, count: int) -> None:
    """Runs variants in turns; prints updates per second and how much faster ours is."""
    for work in variants.values():
        work()  # compiles
    rates: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(turns):
        for name, work in variants.items():
            start = time.perf_counter()
            work()
            rates[name].append(count / (time.perf_counter() - start))
    first = next(iter(rates.values()))
    for name, values in rates.items():
        ratios = [a / b for a, b in zip(first, values, strict=True)]
        print(
            f"  {name:44} {statistics.median(values):12,.0f} updates/s   ours is "
            f"{statistics.median(ratios):,.2f}x as fast (min {min(ratios):,.2f}, max "
            f"{max(ratios):,.2f}, n = {turns})"
        )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="measurements of each")
    turns = parser.parse_args().turns
    about = machine.describe()
    print(f"{about['cpu']}, {about['cores']} cores, commit {about['commit']}")
    data = [array.astype(np.float32) for array in diabetes()]
    rows, columns = data[0].shape
    print(f"one-sample SGD, an epoch of {rows} updates, {columns} features:")
    compare(
        {
            "ours, one compiled loop": ours(*data),
            "Python loop, GradientTape, Keras' SGD": python_loop(*data, compiled=False),
            "the same with the step in a tf.function": python_loop(
                *data, compiled=True
            ),
            "Keras' fit, batch 1": keras_fit(*data),
        },
        turns,
        rows,
    )
    print(f"Adam, {PARAMETERS:,} weights:")
    compare(adam_updates(), turns, 20)


if __name__ == "__main__":
    with checked_output():
        main()

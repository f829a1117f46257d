"""Prints the speed of our training step, of Keras' fit, a mask update and a product.

Both train the fixed network on the same random images, batch 128, on one machine in one
run. They take turns, so that other load affects all of them. Ours follows the default
recipe (augmentation, dropout, weight decay), with batch norm and without, in the
precision that `auto` picks and deterministically. Keras' fit runs in its own process,
with its defaults and without batch norm, which the network does not have. The mask is
made as in the default round, of the dense network with batch norm, where it takes
longest. The product of two large matrices, through TensorFlow in the same precision, is
the peak that a step is compared with.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from shears.data.dataset import Split
from shears.inference.compact_network import count_multiply_adds
from shears.model import batch_norm, forward
from shears.model.architecture import HIDDEN, KERNEL_SIZES
from shears.model.forward import build_keras_model
from shears.model.parameters import (
    BatchNormParameters,
    Parameters,
    initial_parameters,
)
from shears.pruning.folded_masks import folded_masks
from shears.pruning.mask_plan import MaskUpdate, Snapshot
from shears.pruning.masks import MaskSettings, Pruner, zeros_for
from shears.runtime import machine
from shears.runtime.backend import tf
from shears.runtime.device import choose_precision, prepare
from shears.runtime.output import checked_output
from shears.training.trainer import Forward, Trainer
from tools.configuration import read_configuration

ROOT = Path(__file__).resolve().parents[1]
BATCH = 128
SIDE = 4096  # of the matrices
# An image's forward pass takes 2 operations per multiply-add, its backward pass 4.
OPERATIONS = 6 * count_multiply_adds(KERNEL_SIZES)


def random_images(count: int) -> Split:
    """Draws images and labels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    return Split(images, rng.integers(0, 10, count).astype(np.uint8))


def make_ours(data: Split, precision: str, normed: bool) -> Callable[[], None]:
    """Returns a function that trains our way for one epoch."""
    recipe = read_configuration().recipes["strong"]
    recipe = recipe.model_copy(update={"batch_size": BATCH})
    parameters = initial_parameters(0)
    vector = parameters.vector
    logits: Forward = forward.logits
    if normed:
        vector = batch_norm.BatchNorm(data.images).insert(parameters).vector
        logits = batch_norm.logits
    trainer = Trainer(
        vector,
        data,
        recipe,
        precision=precision,
        seed=0,
        forward=logits,
    )
    order = np.arange(len(data.labels), dtype=np.int32).reshape(-1, BATCH)

    def epoch() -> None:
        for i, rows in enumerate(order):
            trainer.step(tf.constant(rows), tf.constant(i), tf.constant(1e-3))
        trainer.sums.numpy()  # waits for the last step

    return epoch


def make_mask_update(data: Split) -> Callable[[], None]:
    """Returns a function that makes a mask of half of the weights."""
    norm = batch_norm.BatchNorm(data.images)
    vector = initial_parameters(0).vector
    dense = Parameters(np.where(vector == 0, np.float32(1e-3), vector))
    trained = norm.insert(dense)
    settings = MaskSettings.model_validate(
        read_configuration().pruning.model_dump(include=set(MaskSettings.model_fields))
    )
    make_mask = folded_masks(norm, Pruner(settings, seed=0, folded_layers=len(HIDDEN)))
    update = MaskUpdate(zeros_for(0.5))
    whole = BatchNormParameters(np.ones_like(trained.vector))
    snapshot = Snapshot(trained, whole, lambda: trained)

    def update_mask() -> None:
        make_mask(snapshot, update)

    return update_mask


def make_product(precision: str) -> Callable[[], None]:
    """Returns a function that multiplies two matrices."""
    rng = np.random.default_rng(0)
    a, b = (tf.cast(rng.normal(size=(SIDE, SIDE)), precision) for _ in range(2))
    multiply = tf.function(tf.matmul)

    def product() -> None:
        multiply(a, b)[0, 0].numpy()  # waits for it

    return product


def serve_keras(data: Split, pipe: Connection) -> None:
    """Trains an epoch with Keras' fit and sends its seconds, for each True received."""
    model = build_keras_model()
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile="auto")
    images = data.images.astype(np.float32) / 255

    def epoch() -> None:
        model.fit(images, data.labels, batch_size=BATCH, epochs=1, verbose=0)

    while pipe.recv():
        pipe.send(seconds(epoch))


def seconds(work: Callable[[], None]) -> float:
    """Measures the duration of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="measurements of each")
    parser.add_argument("--steps", type=int, default=60, help="steps per measurement")
    arguments = parser.parse_args()
    count = BATCH * arguments.steps
    data = random_images(count)

    spawn = multiprocessing.get_context("spawn")
    pipe, theirs_end = spawn.Pipe()
    keras = spawn.Process(target=serve_keras, args=(data, theirs_end), daemon=True)
    keras.start()

    def keras_seconds() -> float:
        pipe.send(True)
        return pipe.recv()

    device = prepare(gpus=1)
    precision = choose_precision("auto")
    plain, normed = (make_ours(data, precision, normed) for normed in (False, True))
    mask_update = make_mask_update(data)
    works = (plain, normed, mask_update, make_product(precision))
    turn: list[Callable[[], float]] = [
        *(partial(seconds, work) for work in works),
        keras_seconds,
    ]
    for measure in turn:
        measure()
    times = np.array([[measure() for measure in turn] for _ in range(arguments.turns)])
    pipe.send(False)
    mine, with_norm, masks, products, theirs = count / times.T
    steps_per_mask = with_norm / BATCH * (count / masks)
    peak = 2 * SIDE**3 * products / count

    about = machine.describe()
    print(f"{about['cpu']}, {about['cores']} cores, {device}, commit {about['commit']}")
    for name, values, form, unit in (
        (f"ours ({precision})", mine, ",.0f", "images/s"),
        ("ours, batch norm", with_norm, ",.0f", "images/s"),
        ("Keras fit (float32)", theirs, ",.0f", "images/s"),
        ("ours / Keras", mine / theirs, ".2f", ""),
        ("batch norm / Keras", with_norm / theirs, ".2f", ""),
        (f"product ({precision})", peak / 1e9, ",.0f", f"GFLOP/s, {SIDE}-cubed"),
        ("ours / product", mine * OPERATIONS / peak, ".2f", "of its GFLOP/s"),
        ("batch norm / product", with_norm * OPERATIONS / peak, ".2f", ""),
        ("a mask", steps_per_mask, ".1f", f"steps of {BATCH} images with batch norm"),
    ):
        print(
            f"{name:20}  median {statistics.median(values):{form}}  "
            f"least {min(values):{form}}  most {max(values):{form}}  "
            f"n {len(values)}  {unit}".rstrip()
        )


if __name__ == "__main__":
    with checked_output():
        main()

"""Measures the time of training steps, in a process of its own (`speed.measure`)."""

import json
import sys
import time
from functools import partial
from typing import Any

import numpy as np

from shears.data.dataset import Split
from shears.model import batch_norm, forward, input_normalisation, teacher
from shears.model.parameters import initial_parameters
from shears.runtime.backend import tf
from shears.runtime.device import choose_precision, prepare
from shears.runtime.lock import end_with_run
from shears.training.recipe import Recipe
from shears.training.soft_targets import SoftTargets
from shears.training.trainer import Forward, Trainer

STEPS_BEFORE = 3  # that are not measured: the first one is compiled
VIEWS = 2


def make_trainer(
    recipe: Recipe, *, precision: str, width: float | None, distilled: bool
) -> Trainer:
    """Makes a trainer on random images.

    Args:
        recipe: How to train.
        precision: "float32" or "bfloat16".
        width: The teacher's width, to train the teacher; None for the fixed network.
        distilled: Whether there are soft targets.
    """
    rng = np.random.default_rng(0)
    count = max(1024, recipe.batch_size)
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    data = Split(images, rng.integers(0, 10, count).astype(np.uint8))
    logits: Forward
    if width is not None:
        vector = teacher.initial_vector(0, width)
        filters = teacher.whitening_filters(images)
        logits = partial(teacher.logits, filters=filters, width=width)
    else:
        start = initial_parameters(0)
        vector, logits = start.vector, forward.logits
        pixels = None
        if recipe.normalise:
            pixels = input_normalisation.measure_pixels(images)
        if recipe.batch_norm:
            if pixels:  # it subtracts the mean itself
                pixels = pixels._replace(mean=np.zeros_like(pixels.mean))
            norm = batch_norm.BatchNorm(images, pixels)
            vector = norm.insert(start).vector
            logits = partial(batch_norm.logits, patches=norm.patches)
        logits = partial(logits, pixels=pixels)
    targets = None
    if distilled:
        targets = SoftTargets(
            np.zeros((VIEWS, count, 3), np.uint8),
            np.tile(np.arange(count, dtype=np.int32), (VIEWS, 1)),
            np.ones((VIEWS, count), np.float16),
            np.zeros((VIEWS, count, 10), np.float16),
            0,
        )
    return Trainer(
        vector,
        data,
        recipe.model_copy(update={"decay": "all"}),  # takes as long
        precision=precision,
        seed=0,
        forward=logits,
        soft_targets=targets,
    )


def time_steps(trainer: Trainer, seconds: float) -> tuple[float, float]:
    """Takes steps for some time.

    Returns:
        Seconds until the step was compiled, and seconds per image from then on.
    """
    batch = trainer.recipe.batch_size
    rows = tf.range(batch, dtype=tf.int32)

    def step(number: int) -> None:
        trainer.step(rows, tf.constant(number), tf.constant(1e-4))
        trainer.sums.numpy()  # waits for it

    start = time.perf_counter()
    for number in range(STEPS_BEFORE):
        step(number)
    compiled = time.perf_counter()
    taken = 0
    while taken < 2 or time.perf_counter() - compiled < seconds:
        step(STEPS_BEFORE + taken)
        taken += 1
    per_image = (time.perf_counter() - compiled) / taken / batch
    return compiled - start, per_image


def main(request: dict[str, Any]) -> dict[str, Any]:
    """Measures the steps of a request (`speed.measure`)."""
    prepare(request["threads"], request["gpus"])
    started = time.monotonic() - request["asked"]  # one clock for all processes
    times = []
    for step in request["steps"]:
        trainer = make_trainer(
            Recipe(**step["recipe"]),
            precision=choose_precision(step["precision"]),
            width=step["width"],
            distilled=step["distilled"],
        )
        times.append(time_steps(trainer, request["seconds"]))
    return {"start": started, "times": times}


if __name__ == "__main__":
    end_with_run()
    print(json.dumps(main(json.load(sys.stdin))))

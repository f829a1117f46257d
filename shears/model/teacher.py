"""The teacher: a stronger network that students are distilled from, never submitted.

Its architecture is free: three blocks of two convolutions with batch norm, the second
one residual (after He et al. 2016 and Jordan 2024, "94% on CIFAR-10 in 3.29 seconds").
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shears.data.augmentation import ImageTable, draw_views
from shears.data.dataset import Split
from shears.model.architecture import CLASSES
from shears.model.batch_norm import (
    BatchStatistics,
    Statistics,
    mean_statistics,
    normalise,
)
from shears.runtime.backend import tf
from shears.runtime.errors import brief
from shears.runtime.files import damaged, verify, write_bytes

STEM = 24  # channels, at width 1
WIDTHS = (32, 96, 192)  # channels of the blocks, at width 1
MEAN, STD = 0.47, 0.25  # roughly those of pixels / 255; batch norm does the rest
BATCH = 500
STATISTICS_BATCHES = 30  # to measure batch norm's statistics on


def shapes(width: float) -> list[tuple[int, ...]]:
    """Lists shapes: kernel, gamma and beta of each convolution, then the last layer."""
    channels = [STEM, *(block for block in WIDTHS for _ in range(2))]
    result: list[tuple[int, ...]] = []
    inputs = 3
    for outputs in (round(width * count) for count in channels):
        result += [(3, 3, inputs, outputs), (outputs,), (outputs,)]
        inputs = outputs
    return [*result, (inputs, CLASSES), (CLASSES,)]


def kernel_mask(width: float) -> np.ndarray:
    """Marks what belongs to a kernel, not to gammas, betas or the bias: (W,) bool."""
    parts = [np.full(np.prod(shape), len(shape) > 1) for shape in shapes(width)]
    return np.concatenate(parts)


def initial_vector(seed: int, width: float) -> np.ndarray:
    """Draws the initial weights: (W,) float32.

    Kernels are normal with variance 2 / inputs (He et al. 2015, eq. 10), gammas are 1
    and betas 0.
    """
    rng = np.random.default_rng(seed)
    parts = []
    all_shapes = shapes(width)
    for i, shape in enumerate(all_shapes):
        if len(shape) > 1:
            inputs = np.prod(shape[:-1])
            parts.append(rng.normal(0, np.sqrt(2 / inputs), shape).ravel())
        else:
            is_gamma = i % 3 == 1 and i < len(all_shapes) - 2
            parts.append(np.full(shape, float(is_gamma)))
    return np.concatenate(parts).astype(np.float32)


def _logits(
    vector: tf.Tensor,
    images: tf.Tensor,
    width: float,
    statistics: Statistics | None = None,
) -> tuple[tf.Tensor, BatchStatistics]:
    """Computes logits, and the statistics used: the batch's if none are given."""
    all_shapes = shapes(width)
    parts = tf.split(vector, [int(np.prod(shape)) for shape in all_shapes])
    arrays = [tf.reshape(p, s) for p, s in zip(parts, all_shapes, strict=True)]
    norms: BatchStatistics = []

    def convolve(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, tf.cast(arrays[3 * len(norms)], x.dtype), 1, "SAME")

    def activate(x: tf.Tensor) -> tf.Tensor:
        index = len(norms)
        fixed = None if statistics is None else statistics[index]
        gamma, beta = arrays[3 * index + 1 : 3 * index + 3]
        y, norm = normalise(x, gamma, beta, fixed)
        norms.append(norm)
        return tf.nn.relu(y)

    x = activate(convolve((images - MEAN) / STD))
    for _ in WIDTHS:
        x = activate(tf.nn.max_pool2d(convolve(x), 2, 2, "VALID"))
        x += activate(convolve(x))
    x = tf.cast(tf.reduce_mean(x, (1, 2)), tf.float32)
    return tf.matmul(x, arrays[-2]) + arrays[-1], norms


def logits(
    vector: tf.Tensor,
    images: tf.Tensor,
    dropout: Sequence[float] = (),
    seed: tf.Tensor | None = None,
    *,
    width: float,
) -> tf.Tensor:
    """Computes the outputs before the softmax, with batch norm by batch statistics.

    Args:
        vector: (W,) float32, all weights.
        images: (B, 32, 32, 3), pixels / 255, float32 or bfloat16.
        dropout: Not used; this network has none.
        seed: Not used.
        width: Multiplier of the numbers of channels.

    Returns:
        (B, 10) float32.
    """
    return _logits(vector, images, width)[0]


class Teacher:
    """A trained teacher: the logits of an image do not depend on its batch."""

    def __init__(self, vector: np.ndarray, width: float, statistics: Statistics):
        """Takes weights (W,), the width and each batch norm's mean and variance."""
        self.vector, self.width, self.statistics = vector, width, statistics

    def forward(self, images: tf.Tensor) -> tf.Tensor:
        """Computes logits (B, 10) of pixels / 255."""
        return _logits(self.vector, images, self.width, self.statistics)[0]

    def save(self, path: str | Path) -> None:
        """Writes an .npz file, not a weights file, so that it cannot be submitted."""
        content = io.BytesIO()
        norms: dict[str, Any] = {
            f"{i}": np.stack(pair) for i, pair in enumerate(self.statistics)
        }
        np.savez(content, vector=self.vector, width=self.width, **norms)
        write_bytes(path, content.getbuffer())

    @classmethod
    def load(cls, path: str | Path) -> "Teacher":
        """Reads what `save` wrote.

        Raises:
            UserError: The file is damaged.
            OSError: It cannot be read.
        """
        verify(path)
        content = Path(path).read_bytes()
        try:
            with np.load(io.BytesIO(content)) as file:
                norms = range(len(file.files) - 2)
                statistics = [tuple(file[f"{i}"]) for i in norms]
                return cls(file["vector"], float(file["width"]), statistics)
        except MemoryError:  # the file's contents are not to blame
            raise
        except Exception as error:  # zipfile raises nearly anything on a damaged file
            raise damaged(path, brief(error)) from error


def measure_statistics(
    vector: np.ndarray, data: Split, *, width: float, crop: int, flip: bool, seed: int
) -> Statistics:
    """Measures batch norm's statistics for inference, on batches as in training.

    Means and variances are averaged over the batches (`mean_statistics`).

    Args:
        vector: (W,) float32, trained weights.
        data: Training images.
        width: The teacher's width.
        crop: Largest shift of an image in pixels.
        flip: Whether half of the images are mirrored.
        seed: Seed of the images and views drawn.
    """
    table = ImageTable(data.images, crop)
    count = min(len(data.labels), BATCH * STATISTICS_BATCHES)
    rows = np.random.default_rng(seed).permutation(len(data.labels))[:count]
    views = draw_views(count, 1, crop=crop, flip=flip, seed=seed)[:, 0]

    @tf.function(reduce_retracing=True)
    def measure(rows: tf.Tensor, views: tf.Tensor) -> BatchStatistics:
        images = table.cut(rows, views[:, :2], views[:, 2] > 0)
        return _logits(vector, tf.cast(images, tf.float32) / 255, width)[1]

    batches = [
        measure(
            tf.constant(rows[i : i + BATCH].astype(np.int32)),
            tf.constant(views[i : i + BATCH].astype(np.int32)),
        )
        for i in range(0, count, BATCH)
    ]
    return mean_statistics(batches)

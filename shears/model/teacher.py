"""The teacher: a stronger network that students are distilled from, never submitted.

Its architecture is free: that of Jordan 2024, "94% on CIFAR-10 in 3.29 seconds": fixed
filters that whiten 2 x 2 patches, and three blocks of two convolutions with batch norm.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shears.data.augmentation import ImageTable
from shears.data.dataset import Split
from shears.data.views import ViewSettings, draw_view
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

FILTERS = 24  # of whitening: 12 directions of 2 x 2 patches, and their opposites
WIDTHS = (64, 256, 256)  # channels of the blocks, at width 1
PATCH_VARIANCE = 5e-4  # added to the variances of patches
WHITENED = 5000  # images whose patches are measured
#: Batch norm's biases are stored divided by this: their rate is 64 times the others'.
BIAS_SCALE = 8.0
EPSILON = 1e-5  # added to batch norm's variances
LOGIT_SCALE = 1 / 9
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of pixels / 255
BATCH = 500
STATISTICS_BATCHES = 30  # to measure batch norm's statistics on


def shapes(width: float) -> list[tuple[int, ...]]:
    """Lists shapes: whitening's bias, each convolution's kernel and bias, the last."""
    result: list[tuple[int, ...]] = [(FILTERS,)]
    inputs = FILTERS
    for outputs in (round(width * block) for block in WIDTHS for _ in range(2)):
        result += [(3, 3, inputs, outputs), (outputs,)]
        inputs = outputs
    return [*result, (inputs, CLASSES)]


def kernel_mask(width: float) -> np.ndarray:
    """Marks what belongs to a kernel, not to a bias: (W,) bool."""
    parts = [np.full(np.prod(shape), len(shape) > 1) for shape in shapes(width)]
    return np.concatenate(parts)


def initial_vector(seed: int, width: float) -> np.ndarray:
    """Draws the initial weights: (W,) float32.

    Kernels are uniform with variance 1 / (3 inputs). A convolution's first units pass
    on its inputs. Biases are 0.
    """
    rng = np.random.default_rng(seed)
    parts = []
    for shape in shapes(width):
        array = np.zeros(shape)
        if len(shape) > 1:
            bound = np.prod(shape[:-1]) ** -0.5
            array = rng.uniform(-bound, bound, shape)
        if len(shape) == 4:
            passed = min(shape[2:])
            array[..., :passed] = 0
            array[1, 1, range(passed), range(passed)] = 1
        parts.append(array.ravel())
    return np.concatenate(parts).astype(np.float32)


def whitening_filters(images: np.ndarray) -> np.ndarray:
    """Computes filters whose outputs are uncorrelated, with variance 1.

    Args:
        images: (N, 32, 32, 3) uint8; the first 5,000 are used.

    Returns:
        (2, 2, 3, FILTERS) float32, for normalised pixels.
    """
    mean, std = (np.array(values, np.float32) for values in (MEAN, STD))
    pixels = (images[:WHITENED] / np.float32(255) - mean) / std
    windows = np.lib.stride_tricks.sliding_window_view(pixels, (2, 2), axis=(1, 2))
    patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 12)
    variances, directions = np.linalg.eigh(patches.T @ patches / len(patches))
    filters = directions / np.sqrt(variances + PATCH_VARIANCE)
    return np.hstack([filters, -filters]).reshape(2, 2, 3, FILTERS).astype(np.float32)


def _logits(
    vector: tf.Tensor,
    images: tf.Tensor,
    filters: np.ndarray,
    width: float,
    statistics: Statistics | None = None,
) -> tuple[tf.Tensor, BatchStatistics]:
    """Computes logits, and the statistics used: the batch's if none are given."""
    all_shapes = shapes(width)
    parts = tf.split(vector, [int(np.prod(shape)) for shape in all_shapes])
    arrays = [tf.reshape(p, s) for p, s in zip(parts, all_shapes, strict=True)]
    norms: BatchStatistics = []

    def convolve(x: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(x, tf.cast(arrays[1 + 2 * len(norms)], x.dtype), 1, "SAME")

    def activate(x: tf.Tensor) -> tf.Tensor:
        index = len(norms)
        fixed = None if statistics is None else statistics[index]
        beta = BIAS_SCALE * arrays[2 + 2 * index]
        y, norm = normalise(x, tf.ones_like(beta), beta, fixed, EPSILON)
        norms.append(norm)
        return tf.nn.gelu(y, approximate=True)

    x = (images - tf.cast(MEAN, images.dtype)) / tf.cast(STD, images.dtype)
    x = tf.nn.conv2d(x, tf.cast(filters, x.dtype), 1, "VALID")  # (B, 31, 31, 24)
    bias = tf.cast(arrays[0], x.dtype)
    x = tf.nn.gelu(tf.nn.bias_add(x, bias), approximate=True)
    for _ in WIDTHS:
        x = activate(tf.nn.max_pool2d(convolve(x), 2, 2, "VALID"))
        x = activate(convolve(x))
    x = tf.cast(tf.reduce_max(x, (1, 2)), tf.float32)  # of (B, 3, 3, C)
    return tf.matmul(x, arrays[-1]) * LOGIT_SCALE, norms


def logits(
    vector: tf.Tensor,
    images: tf.Tensor,
    dropout: Sequence[float] = (),
    seed: tf.Tensor | None = None,
    *,
    filters: np.ndarray,
    width: float,
) -> tf.Tensor:
    """Computes the outputs before the softmax, with batch norm by batch statistics.

    Args:
        vector: (W,) float32, all weights.
        images: (B, 32, 32, 3), pixels / 255, float32 or bfloat16.
        dropout: Not used; this network has none.
        seed: Not used.
        filters: What `whitening_filters` computed.
        width: Multiplier of the numbers of channels.

    Returns:
        (B, 10) float32.
    """
    return _logits(vector, images, filters, width)[0]


class Teacher:
    """A trained teacher: the logits of an image do not depend on its batch."""

    def __init__(
        self,
        vector: np.ndarray,
        filters: np.ndarray,
        width: float,
        statistics: Statistics,
    ):
        """Takes weights (W,), filters, width and each batch norm's statistics."""
        self.vector, self.filters = vector, filters
        self.width, self.statistics = width, statistics

    def forward(self, images: tf.Tensor) -> tf.Tensor:
        """Computes logits (B, 10) of pixels / 255."""
        return _logits(self.vector, images, self.filters, self.width, self.statistics)[
            0
        ]

    def save(self, path: str | Path) -> None:
        """Writes an .npz file, not a weights file, so that it cannot be submitted."""
        content = io.BytesIO()
        norms: dict[str, Any] = {
            f"{i}": np.stack(pair) for i, pair in enumerate(self.statistics)
        }
        np.savez(
            content,
            vector=self.vector,
            filters=self.filters,
            width=self.width,
            **norms,
        )
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
                norms = range(len(file.files) - 3)
                statistics = [tuple(file[f"{i}"]) for i in norms]
                vector, filters = file["vector"], file["filters"]
                return cls(vector, filters, float(file["width"]), statistics)
        except MemoryError:  # the file's contents are not to blame
            raise
        except Exception as error:  # zipfile raises nearly anything on a damaged file
            raise damaged(path, brief(error)) from error


def mean_logits(teachers: Sequence[Teacher], images: tf.Tensor) -> tf.Tensor:
    """Averages the logits (B, 10) of several teachers for pixels / 255."""
    return tf.add_n([teacher.forward(images) for teacher in teachers]) / len(teachers)


def measure_statistics(
    vector: np.ndarray,
    data: Split,
    *,
    filters: np.ndarray,
    width: float,
    crop: int,
    flip: bool,
    seed: int,
) -> Statistics:
    """Measures batch norm's statistics for inference, on batches as in training.

    Means and variances are averaged over the batches (`mean_statistics`).

    Args:
        vector: (W,) float32, trained weights.
        data: Training images.
        filters: What `whitening_filters` computed.
        width: The teacher's width.
        crop: Largest shift of an image in pixels.
        flip: Whether half of the images are mirrored.
        seed: Seed of the images and views drawn.
    """
    table = ImageTable(data.images, crop)
    count = min(len(data.labels), BATCH * STATISTICS_BATCHES)
    rows = np.random.default_rng(seed).permutation(len(data.labels))[:count]
    places = draw_view(count, 0, ViewSettings(crop=crop, flip=flip, seed=seed)).places

    @tf.function(reduce_retracing=True)
    def measure(rows: tf.Tensor, places: tf.Tensor) -> BatchStatistics:
        images = table.cut(rows, places[:, :2], places[:, 2] > 0)
        return _logits(vector, tf.cast(images, tf.float32) / 255, filters, width)[1]

    batches = [
        measure(
            tf.constant(rows[i : i + BATCH].astype(np.int32)),
            tf.constant(places[i : i + BATCH].astype(np.int32)),
        )
        for i in range(0, count, BATCH)
    ]
    return mean_statistics(batches)

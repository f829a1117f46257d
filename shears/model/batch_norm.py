"""Batch norm (Ioffe and Szegedy 2015): in a teacher, and in training the fixed network.

The fixed network has none. While it is trained, each hidden layer can be followed by
one; afterwards they are folded into kernels and biases, so what is pruned, measured and
written is the fixed network all the same. A kernel's zeros stay zero.

What is trained then is one vector: the network's weights, shifts in the place of the
hidden biases, and behind them a scale for each hidden unit.
"""

from collections.abc import Sequence

import numpy as np

from shears.model import forward as network
from shears.model.architecture import HIDDEN, LAYERS, PARAMETERS
from shears.model.input_normalisation import Pixels
from shears.model.parameters import flatten, unflatten
from shears.runtime.backend import tf

UNITS = [LAYERS[i].kernel[-1] for i in HIDDEN]
SCALES = sum(UNITS)
EPSILON = 1e-3  # added to variances, as Keras does
IMAGES = 5000  # that statistics are measured on, at most
BATCH = 500

Statistics = list[tuple[np.ndarray, np.ndarray]]  # mean and variance of each norm
Used = list[tuple[tf.Tensor, tf.Tensor]]  # the same of one batch


def normalise(
    x: tf.Tensor,
    scale: tf.Tensor,
    shift: tf.Tensor,
    statistics: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """Normalises channels (B, H, W, C) by given statistics, or else by the batch's.

    Returns:
        The same shape and dtype, and the mean and variance used, (C,) float32 each.
    """
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x,
        scale,
        shift,
        *(statistics or ()),
        epsilon=EPSILON,
        is_training=statistics is None,
    )
    return y, (mean, variance)


def mean_statistics(batches: Sequence[Used]) -> Statistics:
    """Averages batches' statistics (Wu and Johnson 2021, section 3: "PreciseBN")."""
    return [
        tuple(np.mean([layer[j].numpy() for layer in layers], 0) for j in range(2))
        for layers in zip(*batches, strict=True)
    ]


def _with_norms(
    vector: tf.Tensor, images: tf.Tensor, *options, **named
) -> tuple[tf.Tensor, Used]:
    """Computes logits, normalised by the batch, and the statistics of it."""
    scales = tf.split(vector[PARAMETERS:], UNITS)
    used: Used = []

    def activate(x: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
        maps = x if len(x.shape) == 4 else x[:, None, None]
        y, found = normalise(maps, scales[len(used)], shift)
        used.append(found)
        return tf.nn.relu(tf.reshape(y, tf.shape(x)))

    weights = vector[:PARAMETERS]
    return network.logits(weights, images, *options, activate=activate, **named), used


def _without_norms(
    vector: tf.Tensor, images: tf.Tensor, **named
) -> tuple[tf.Tensor, Used]:
    """Computes the network's logits, and the statistics of what its layers compute."""
    used: Used = []

    def activate(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        used.append(tf.nn.moments(x, list(range(len(x.shape) - 1))))
        return network.activate(x, bias)

    return network.logits(vector, images, activate=activate, **named), used


def logits(
    vector: tf.Tensor,
    images: tf.Tensor,
    dropout: Sequence[float] = (0.0, 0.0, 0.0),
    seed: tf.Tensor | None = None,
    pixels: Pixels | None = None,
) -> tf.Tensor:
    """Computes the network's outputs with each hidden layer normalised by the batch.

    Args:
        vector: (PARAMETERS + SCALES,) float32, see above.
        images: As of `shears.model.forward.logits`, as are the others.
        dropout: Shares of units dropped.
        seed: For the dropout masks.
        pixels: What the first kernel is divided by; without a mean.

    Returns:
        (B, 10) float32 logits.
    """
    return _with_norms(vector, images, dropout, seed, pixels)[0]


def factors_of(vector: np.ndarray, statistics: Statistics) -> list[np.ndarray]:
    """Computes what folding multiplies each unit's kernel by, float64."""
    scales = np.split(vector[PARAMETERS:].astype(np.float64), np.cumsum(UNITS)[:-1])
    return [
        scale / np.sqrt(variance + EPSILON, dtype=np.float64)
        for scale, (_, variance) in zip(scales, statistics, strict=True)
    ]


def fold_statistics(vector: np.ndarray, statistics: Statistics) -> np.ndarray:
    """Takes batch norm out: (PARAMETERS,) float32."""
    arrays = unflatten(vector[:PARAMETERS].astype(np.float64))
    for i, factors in enumerate(factors_of(vector, statistics)):
        arrays[2 * i] *= factors
        arrays[2 * i + 1] -= statistics[i][0] * factors
    return flatten(arrays).astype(np.float32)


class Folding:
    """Puts batch norm into the network and takes it out, by what it does to images."""

    def __init__(self, images: np.ndarray, pixels: Pixels | None = None):
        """Takes training images (N, 32, 32, 3) uint8, and what they are divided by.

        Raises:
            ValueError: Pixels have a mean: kernels would move biases behind the norm.
        """
        if pixels and pixels.mean.any():
            raise ValueError("batch norm takes the mean away itself")
        rows = np.random.default_rng(0).permutation(len(images))[:IMAGES]
        parts = np.array_split(rows, max(1, len(rows) // BATCH))
        self._batches = [images[part] for part in parts]

        @tf.function
        def used(vector: tf.Tensor, images: tf.Tensor) -> Used:
            forward = _with_norms if vector.shape[0] > PARAMETERS else _without_norms
            images = tf.cast(images, tf.float32) / 255
            return forward(vector, images, pixels=pixels)[1]

        self._used = used

    def measure(self, vector: np.ndarray) -> Statistics:
        """Measures what each hidden layer's kernel gives, with batch norm or without.

        Args:
            vector: (PARAMETERS + SCALES,) or (PARAMETERS,) float32.
        """
        vector = tf.constant(vector)
        return mean_statistics([self._used(vector, part) for part in self._batches])

    def insert(self, vector: np.ndarray) -> np.ndarray:
        """Puts batch norm in so that it changes nothing but by the noise of a batch.

        The scale is the deviation it divides by, the shift has the mean it takes away.

        Args:
            vector: (PARAMETERS,) float32.

        Returns:
            (PARAMETERS + SCALES,) float32.
        """
        arrays, scales = unflatten(vector.copy()), []
        for bias, (mean, variance) in zip(
            arrays[1:-2:2], self.measure(vector), strict=True
        ):
            bias += mean
            scales.append(np.sqrt(variance + EPSILON))
        return np.concatenate([flatten(arrays), *scales]).astype(np.float32)

    def fold(self, vector: np.ndarray) -> np.ndarray:
        """Takes batch norm out: W' = W s, b' = b - mean s, s = scale / deviation.

        Args:
            vector: (PARAMETERS + SCALES,) float32.

        Returns:
            (PARAMETERS,) float32, the network that computes what batch norm would with
            the statistics of these images. Zeros of kernels stay zero; so does the
            bias of a unit without incoming weights.
        """
        return fold_statistics(vector, self.measure(vector))

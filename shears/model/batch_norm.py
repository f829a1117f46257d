"""Batch norm (Ioffe and Szegedy 2015), in the teacher and while the student trains.

The fixed network has none. During training, each hidden layer can have batch norm,
which is then folded into kernels and biases. The network that is pruned, measured and
written is always the fixed one. A kernel's zeros stay zero.

Two things make it cheap. The first layer's statistics are those of all training images:
they follow from the covariance of its patches, without a pass over its outputs. And
where a layer is pooled, the pooled maps are normalised, a quarter as many values; that
is the same network as long as no gamma is negative, so its absolute value is used.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from shears.model import forward
from shears.model.architecture import PARAMETERS
from shears.model.input_normalisation import PixelStatistics
from shears.model.parameters import HIDDEN_UNITS, BatchNormParameters, Parameters
from shears.runtime.backend import tf

EPSILON = 1e-3  # added to variances, as in Keras
MOST_IMAGES = 5000  # to measure statistics on
FEW_IMAGES = 128  #: to estimate them on
BATCH = 500

Statistics = list[tuple[np.ndarray, np.ndarray]]  # mean and variance of each layer
BatchStatistics = list[tuple[tf.Tensor, tf.Tensor]]  # the same, for one batch

# (vector, images, pixels) -> logits and statistics
Compute = Callable[
    [tf.Tensor, tf.Tensor, PixelStatistics | None], tuple[tf.Tensor, BatchStatistics]
]
MeasureBatch = Callable[[tf.Tensor, tf.Tensor], BatchStatistics]  # (vector, images)


def normalise(
    x: tf.Tensor,
    gamma: tf.Tensor,
    beta: tf.Tensor,
    statistics: tuple[np.ndarray, np.ndarray] | None = None,
    epsilon: float = EPSILON,
) -> tuple[tf.Tensor, tuple[tf.Tensor, tf.Tensor]]:
    """Normalises channels of (B, H, W, C) by given statistics, or by the batch's.

    Returns:
        The result, in x's shape and dtype; the mean and variance used, (C,) float32.
    """
    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x,
        gamma,
        beta,
        *(statistics or ()),
        epsilon=epsilon,
        is_training=statistics is None,
    )
    return y, (mean, variance)


def mean_statistics(batches: Sequence[BatchStatistics]) -> Statistics:
    """Averages statistics over batches (PreciseBN; Wu and Johnson 2021, section 3)."""
    return [
        (
            np.mean([mean.numpy() for mean, _ in layers], 0),
            np.mean([variance.numpy() for _, variance in layers], 0),
        )
        for layers in zip(*batches, strict=True)
    ]


class PatchStatistics(NamedTuple):
    """Statistics of the patches that the first convolution sees, padding included.

    Attributes:
        mean: (27,) float32, of pixels / 255.
        covariance: (27, 27) float32.
    """

    mean: np.ndarray
    covariance: np.ndarray


def measure_patches(images: np.ndarray) -> PatchStatistics:
    """Measures the statistics of all 3 x 3 patches of images (N, 32, 32, 3) uint8."""
    total, products, count = np.zeros(27), np.zeros((27, 27)), images.size // 3
    for start in range(0, len(images), BATCH):
        pixels = images[start : start + BATCH] / np.float32(255)
        padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))
        patches = windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, 27)
        total += patches.sum(0, dtype=np.float64)
        products += patches.T @ patches
    mean = total / count
    covariance = products / count - np.outer(mean, mean)
    return PatchStatistics(mean.astype(np.float32), covariance.astype(np.float32))


def _first_statistics(
    kernel: tf.Tensor, patches: PatchStatistics
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes mean and variance (C,) of a first kernel's (3, 3, 3, C) outputs.

    They are linear in the patches, so the patches' covariance gives them without a pass
    over the outputs.
    """
    weights = tf.reshape(kernel, (27, -1))
    mean = tf.linalg.matvec(weights, patches.mean, transpose_a=True)
    products = weights * tf.matmul(tf.constant(patches.covariance), weights)
    return mean, tf.nn.relu(tf.reduce_sum(products, 0))  # rounding may go below 0


def _with_batch_norm(
    vector: tf.Tensor,
    images: tf.Tensor,
    pixels: PixelStatistics | None,
    patches: PatchStatistics,
    dropout: Sequence[float] = (0.0, 0.0, 0.0),
    seed: tf.Tensor | None = None,
) -> tuple[tf.Tensor, BatchStatistics]:
    """Computes logits with batch norm, and the statistics that it used."""
    gammas = tf.split(tf.abs(vector[PARAMETERS:]), HIDDEN_UNITS)
    kernels, biases = forward.split_layers(vector[:PARAMETERS], pixels)
    mean, variance = _first_statistics(kernels[0], patches)
    factor = gammas[0] * tf.math.rsqrt(variance + EPSILON)
    kernels[0] *= factor
    biases[0] -= mean * factor
    statistics: BatchStatistics = [(mean, variance)]
    layers = iter(gammas)

    def activate(x: tf.Tensor, beta: tf.Tensor) -> tf.Tensor:
        gamma = next(layers)
        if gamma is gammas[0]:
            return forward.activate(x, beta)
        maps = x if len(x.shape) == 4 else x[:, None, None]
        y, layer_statistics = normalise(maps, gamma, beta)
        statistics.append(layer_statistics)
        return tf.nn.relu(tf.reshape(y, tf.shape(x)))

    outputs = forward.apply_layers(kernels, biases, images, dropout, seed, activate)
    return outputs, statistics


def _without_batch_norm(
    vector: tf.Tensor, images: tf.Tensor, pixels: PixelStatistics | None
) -> tuple[tf.Tensor, BatchStatistics]:
    """Computes logits without batch norm, and statistics of its kernels' outputs."""
    statistics: BatchStatistics = []

    def activate(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        statistics.append(tf.nn.moments(x, list(range(len(x.shape) - 1))))
        return forward.activate(x, bias)

    outputs = forward.logits(vector, images, pixels=pixels, activate=activate)
    return outputs, statistics


def logits(
    vector: tf.Tensor,
    images: tf.Tensor,
    dropout: Sequence[float] = (0.0, 0.0, 0.0),
    seed: tf.Tensor | None = None,
    pixels: PixelStatistics | None = None,
    *,
    patches: PatchStatistics,
) -> tf.Tensor:
    """Computes the network's logits with batch norm by the batch's statistics.

    Args:
        vector: (PARAMETERS + GAMMAS,) float32, a `BatchNormParameters`' vector.
        images: As for `forward.logits`.
        dropout: As for `forward.logits`.
        seed: As for `forward.logits`.
        pixels: As for `forward.logits`, but with a mean of zero.
        patches: Of the training images; the first layer is normalised by them.

    Returns:
        (B, 10) float32 logits.
    """
    return _with_batch_norm(vector, images, pixels, patches, dropout, seed)[0]


def fusion_factors(
    parameters: BatchNormParameters, statistics: Statistics
) -> list[np.ndarray]:
    """Computes the factor that folding applies to each unit: gamma / std, float64."""
    return [
        np.abs(gamma, dtype=np.float64) / np.sqrt(variance + EPSILON, dtype=np.float64)
        for gamma, (_, variance) in zip(parameters.gammas, statistics, strict=True)
    ]


def fold_statistics(
    parameters: BatchNormParameters, statistics: Statistics
) -> Parameters:
    """Folds batch norm, with the given statistics, into the network (float32).

    W' = W gamma / std, b' = beta - mean gamma / std (as
    ``fuse_conv_bn_eval`` of PyTorch and ``switch_to_deploy`` of RepVGG do).
    """
    folded = Parameters(parameters.network.vector.astype(np.float64))
    factors = fusion_factors(parameters, statistics)
    for i, (factor, (mean, _)) in enumerate(zip(factors, statistics, strict=True)):
        folded.kernels[i][...] *= factor
        folded.biases[i][...] -= mean * factor
    return Parameters(folded.vector.astype(np.float32))


class BatchNorm:
    """Inserts batch norm into the network and folds it, using statistics of images.

    Attributes:
        patches: Those of the first layer.
    """

    def __init__(self, images: np.ndarray, pixels: PixelStatistics | None = None):
        """Takes training images (N, 32, 32, 3) uint8 and the std they are divided by.

        Raises:
            ValueError: The pixels' mean is not zero; `forward.logits` would subtract it
                from beta, after batch norm.
        """
        if pixels and pixels.mean.any():
            raise ValueError(
                "pixels: found a nonzero mean, expected 0: batch norm subtracts it"
            )
        rows = np.random.default_rng(0).permutation(len(images))[:MOST_IMAGES]
        self.patches, self._pixels = measure_patches(images[rows]), pixels
        parts = np.array_split(rows, max(1, len(rows) // BATCH))
        self._batches = [images[part] for part in parts]
        self._few = [images[rows[:FEW_IMAGES]]]
        signature = [tf.TensorSpec([None]), tf.TensorSpec([None, 32, 32, 3], tf.uint8)]

        def statistics_of(compute: Compute) -> MeasureBatch:
            @tf.function(input_signature=signature)
            def statistics(vector: tf.Tensor, images: tf.Tensor) -> BatchStatistics:
                images = tf.cast(images, tf.float32) / 255
                return compute(vector, images, pixels)[1]

            return statistics

        self._with_batch_norm = statistics_of(
            partial(_with_batch_norm, patches=self.patches)
        )
        self._without_batch_norm = statistics_of(_without_batch_norm)

    def measure(self, parameters: BatchNormParameters) -> Statistics:
        """Measures each hidden layer's mean and variance before batch norm."""
        return self._measure(self._with_batch_norm, parameters.vector, self._batches)

    def estimate(self, parameters: BatchNormParameters) -> Statistics:
        """Measures on `FEW_IMAGES` images only: enough to compare magnitudes by.

        The standard error of a standard deviation is then 6 % in the dense layer, which
        has one value per image, and less in the convolutions.
        """
        return self._measure(self._with_batch_norm, parameters.vector, self._few)

    def _measure(
        self,
        measure: MeasureBatch,
        vector: np.ndarray,
        batches: Sequence[np.ndarray],
    ) -> Statistics:
        vector = tf.constant(vector)
        return mean_statistics([measure(vector, part) for part in batches])

    def insert(self, parameters: Parameters) -> BatchNormParameters:
        """Inserts batch norm without changing the function, up to batch noise.

        Gamma is the std that batch norm divides by; beta adds back the mean that it
        subtracts.

        Args:
            parameters: float32.

        Returns:
            float32.
        """
        statistics = self._measure(
            self._without_batch_norm, parameters.vector, self._batches
        )
        kernels, _ = forward.split_layers(tf.constant(parameters.vector), self._pixels)
        mean, variance = _first_statistics(kernels[0], self.patches)
        statistics[0] = mean.numpy(), variance.numpy()
        network, gammas = parameters.copy(), []
        for i, (mean, variance) in enumerate(statistics):
            network.biases[i][...] += mean
            gammas.append(np.sqrt(variance + EPSILON))
        joined = BatchNormParameters.join(network, gammas)
        return BatchNormParameters(joined.vector.astype(np.float32))

    def fold(self, parameters: BatchNormParameters) -> Parameters:
        """Folds batch norm into the network (`fold_statistics`).

        Args:
            parameters: float32.

        Returns:
            float32, the network that is equivalent to batch norm with the statistics of
            these images. Kernels' zeros stay zero; so does the bias of a unit without
            incoming weights.
        """
        return fold_statistics(parameters, self.measure(parameters))

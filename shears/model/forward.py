"""The network twice: as a pure function and as a Keras model.

Training differentiates the pure function (parameters in one flat vector, dropout rates
as arguments, random numbers from counters). The assignment's grader builds the Keras
model; scoring uses it too, and the tests compare the two.
"""

from collections.abc import Callable, Sequence

from shears.model.architecture import CLASSES, INPUT_SHAPE, LAYERS, SHAPES, SIZES
from shears.model.input_normalisation import PixelStatistics
from shears.model.parameters import kernels_and_biases
from shears.runtime.backend import tf


def drop_units(x: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Drops units at random and scales up the others (Srivastava et al. 2014).

    Each random 32-bit number decides for two units, which is twice as fast as
    TensorFlow's own dropout. The rate is rounded to a multiple of 1 / 65,536.

    Args:
        x: (..., C), C even, any floating dtype.
        rate: Fraction of units dropped, from 0 to below 1.
        seed: (2,) int32.

    Returns:
        The same shape, dtype and expected value.
    """
    shape = tf.shape(x)
    pairs = tf.concat([shape[:-1], [x.shape[-1] // 2]], 0)
    bits = tf.random.stateless_uniform(pairs, seed, None, None, tf.uint32)
    numbers = tf.reshape(tf.bitcast(bits, tf.uint16), shape)
    threshold = min(round(rate * 65536), 65535)
    scale = 65536 / (65536 - threshold)
    return x * tf.where(
        numbers >= tf.constant(threshold, tf.uint16),
        tf.constant(scale, x.dtype),
        tf.constant(0, x.dtype),
    )


def activate(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Computes a hidden layer's activations: relu(x + bias), (..., C) of x's dtype."""
    return tf.nn.relu(tf.nn.bias_add(x, tf.cast(bias, x.dtype)))


def logits(
    vector: tf.Tensor,
    images: tf.Tensor,
    dropout: Sequence[float] = (0.0, 0.0, 0.0),
    seed: tf.Tensor | None = None,
    pixels: PixelStatistics | None = None,
    activate: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = activate,
) -> tf.Tensor:
    """Computes the network's outputs before the softmax.

    Args:
        vector: (PARAMETERS,) float32, a `Parameters`' vector.
        images: (B, 32, 32, 3), pixels / 255, float32 or bfloat16. All layers but the
            last are computed in this dtype.
        dropout: Dropout rates after the two poolings and the dense layer.
        seed: (2,) int32 for the dropout masks; needed if a rate is not zero.
        pixels: Set if the parameters are for normalised pixels
            (`input_normalisation.unfold`).
        activate: Computes a hidden layer's activations from its kernel's outputs
            (pooled, where the layer is) and its bias.

    Returns:
        (B, 10) float32 logits.
    """
    kernels, biases = split_layers(vector, pixels)
    return apply_layers(kernels, biases, images, dropout, seed, activate)


def split_layers(
    vector: tf.Tensor, pixels: PixelStatistics | None = None
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Splits a `Parameters`' vector into kernels and biases for pixels / 255.

    Args:
        vector: As for `logits`.
        pixels: As for `logits`.
    """
    parts = tf.split(vector, SIZES)
    kernels, biases = kernels_and_biases(
        [tf.reshape(part, shape) for part, shape in zip(parts, SHAPES, strict=True)]
    )
    if pixels:
        kernels[0] /= tf.constant(pixels.std[:, None])
        # The padding is raw zeros, so the whole sum is subtracted at the borders too.
        biases[0] -= tf.einsum("ijcd,c->d", kernels[0], tf.constant(pixels.mean))
    return kernels, biases


def apply_layers(
    kernels: Sequence[tf.Tensor],
    biases: Sequence[tf.Tensor],
    images: tf.Tensor,
    dropout: Sequence[float] = (0.0, 0.0, 0.0),
    seed: tf.Tensor | None = None,
    activate: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = activate,
) -> tf.Tensor:
    """Computes the logits of a network with these layers, of any widths.

    Args:
        kernels: Six, with as many dimensions as in `LAYERS`. The dense layer's rows are
            in Flatten's order.
        biases: Six.
        images: As for `logits`.
        dropout: As for `logits`.
        seed: As for `logits`.
        activate: As for `logits`.

    Returns:
        (B, 10) logits of the last kernel's dtype.
    """
    output_kernel, output_bias = kernels[-1], biases[-1]
    kernels = [tf.cast(kernel, images.dtype) for kernel in kernels[:-1]]

    def convolve(x: tf.Tensor, index: int, *, pool: bool = False) -> tf.Tensor:
        y = tf.nn.conv2d(x, kernels[index], 1, LAYERS[index].padding)
        # The network pools after relu. The largest stays the largest, so this is the
        # same, bit for bit, with a quarter of the activations to compute.
        return activate(
            tf.nn.max_pool2d(y, 2, 2, "VALID") if pool else y, biases[index]
        )

    def drop(x: tf.Tensor, index: int) -> tf.Tensor:
        if dropout[index] == 0:
            return x
        return drop_units(x, dropout[index], seed + [0, index])  # type: ignore[operator]

    x = convolve(images, 0)  # (B, 32, 32, 32)
    x = drop(convolve(x, 1, pool=True), 0)  # (B, 15, 15, 32)
    x = convolve(x, 2)  # (B, 15, 15, 64)
    x = drop(convolve(x, 3, pool=True), 1)  # (B, 6, 6, 64)
    x = tf.reshape(x, (-1, kernels[4].shape[0]))  # (B, 2304)
    x = drop(activate(tf.matmul(x, kernels[4]), biases[4]), 2)  # (B, 512)
    x = tf.cast(x, output_kernel.dtype)
    return tf.matmul(x, output_kernel) + output_bias  # (B, 10)


def build_keras_model() -> "tf.keras.Model":
    """Builds the network as the assignment's notebook and grader do, uncompiled."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Input(INPUT_SHAPE),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="conv2d"),
            layers.Conv2D(32, 3, activation="relu", name="conv2d_1"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Conv2D(64, 3, padding="same", activation="relu", name="conv2d_2"),
            layers.Conv2D(64, 3, activation="relu", name="conv2d_3"),
            layers.MaxPooling2D(),
            layers.Dropout(0.25),
            layers.Flatten(),
            layers.Dense(512, activation="relu", name="dense"),
            layers.Dropout(0.5),
            layers.Dense(CLASSES, activation="softmax", name="dense_1"),
        ]
    )

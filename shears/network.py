"""The network twice: as a pure function and as a Keras model.

The pure function is what training differentiates (weights in one flat vector, dropout
rates as arguments, random numbers from counters). The Keras model is what the
assignment's grader builds; scoring uses it, and the tests hold the two together.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from shears.architecture import (
    CLASSES,
    INPUT_SHAPE,
    LAYERS,
    SHAPES,
    SIZES,
    flatten,
    unflatten,
)
from shears.backend import tf


class Pixels(NamedTuple):
    """Mean and standard deviation of pixels / 255 a colour: (3,) float32 each."""

    mean: np.ndarray
    deviation: np.ndarray


def measure_pixels(images: np.ndarray) -> Pixels:
    """Measures (N, 32, 32, 3) uint8 images; a constant colour has deviation 1."""
    # By counting: exact, and without a float copy of all images.
    shares = np.stack(
        [np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)]
    ) / (images.size / 3)
    values = np.arange(256) / 255
    mean = shares @ values
    deviation = np.sqrt(np.maximum(shares @ values**2 - mean**2, 0))
    deviation[deviation == 0] = 1
    return Pixels(mean.astype(np.float32), deviation.astype(np.float32))


def drop_units(x: tf.Tensor, rate: float, seed: tf.Tensor) -> tf.Tensor:
    """Drops units at random and scales the others up (Srivastava et al. 2014).

    Two decisions are taken from each random 32-bit number, which makes it twice as fast
    as TensorFlow's own; the rate is rounded to a multiple of 1 / 65,536.

    Args:
        x: (..., C), C even, any floating dtype.
        rate: Share dropped, from 0 to below 1.
        seed: (2,) int32.

    Returns:
        The same shape and dtype, the same mean.
    """
    shape = tf.shape(x)
    drawn = tf.concat([shape[:-1], [x.shape[-1] // 2]], 0)
    bits = tf.random.stateless_uniform(drawn, seed, None, None, tf.uint32)
    numbers = tf.reshape(tf.bitcast(bits, tf.uint16), shape)
    dropped = min(round(rate * 65536), 65535)
    scale = 65536 / (65536 - dropped)
    return x * tf.where(
        numbers >= tf.constant(dropped, tf.uint16),
        tf.constant(scale, x.dtype),
        tf.constant(0, x.dtype),
    )


def activate(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
    """Computes what a hidden layer gives: relu(x + bias), (..., C) of x's dtype."""
    return tf.nn.relu(tf.nn.bias_add(x, tf.cast(bias, x.dtype)))


def logits(
    vector: tf.Tensor,
    images: tf.Tensor,
    dropout: Sequence[float] = (0.0, 0.0, 0.0),
    seed: tf.Tensor | None = None,
    pixels: Pixels | None = None,
    activate: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] = activate,
) -> tf.Tensor:
    """Computes the network's outputs before the softmax.

    Args:
        vector: (PARAMETERS,) float32, all weights in the order of `SHAPES`.
        images: (B, 32, 32, 3), pixels / 255; their dtype (float32 or bfloat16) is what
            everything but the last layer is computed in.
        dropout: Shares of units dropped after the two poolings and the dense layer.
        seed: (2,) int32 for the dropout masks; needed when a rate is not zero.
        pixels: The weights are those for normalised pixels (`unfold`).
        activate: What follows each hidden layer's kernel in turn.

    Returns:
        (B, 10) float32 logits.
    """
    parts = tf.split(vector, SIZES)
    arrays = [
        tf.reshape(part, shape) for part, shape in zip(parts, SHAPES, strict=True)
    ]
    if pixels:
        arrays[0] /= tf.constant(pixels.deviation[:, None])
        # Padding is a raw zero, so the sum is the same at the borders.
        arrays[1] -= tf.einsum("ijcd,c->d", arrays[0], tf.constant(pixels.mean))
    kernels, biases = [tf.cast(a, images.dtype) for a in arrays[:-2:2]], arrays[1::2]

    def convolve(x: tf.Tensor, index: int) -> tf.Tensor:
        y = tf.nn.conv2d(x, kernels[index], 1, LAYERS[index].padding)
        return activate(y, biases[index])

    def drop(x: tf.Tensor, index: int) -> tf.Tensor:
        if dropout[index] == 0:
            return x
        return drop_units(x, dropout[index], seed + [0, index])

    x = convolve(images, 0)  # (B, 32, 32, 32)
    x = convolve(x, 1)  # (B, 30, 30, 32)
    x = drop(tf.nn.max_pool2d(x, 2, 2, "VALID"), 0)  # (B, 15, 15, 32)
    x = convolve(x, 2)  # (B, 15, 15, 64)
    x = convolve(x, 3)  # (B, 13, 13, 64)
    x = drop(tf.nn.max_pool2d(x, 2, 2, "VALID"), 1)  # (B, 6, 6, 64)
    x = tf.reshape(x, (-1, 2304))
    x = drop(activate(tf.matmul(x, kernels[4]), biases[4]), 2)  # (B, 512)
    return tf.matmul(tf.cast(x, tf.float32), arrays[-2]) + arrays[-1]  # (B, 10)


def fold(vector: np.ndarray, pixels: Pixels) -> np.ndarray:
    """Turns weights for normalised pixels into those for pixels / 255.

    Normalisation is linear, so the first layer takes it over: W' = W / deviation,
    b' = b - sum(W' mean). Exact at the borders too, if those are padded with what a
    raw zero becomes (`logits` computes as if they were). The kernel's zeros stay zero.

    Args:
        vector: (PARAMETERS,) float32.
        pixels: What pixels were normalised by.

    Returns:
        (PARAMETERS,) float32.
    """
    return _refold(vector, 1 / pixels.deviation.astype(np.float64), pixels, -1)


def unfold(vector: np.ndarray, pixels: Pixels) -> np.ndarray:
    """Undoes `fold`, up to rounding."""
    return _refold(vector, pixels.deviation.astype(np.float64), pixels, 1)


def _refold(
    vector: np.ndarray, scale: np.ndarray, pixels: Pixels, sign: int
) -> np.ndarray:
    """Scales the first kernel and moves the mean into or out of the first bias."""
    kernel, bias, *rest = unflatten(vector.astype(np.float64))
    scaled = kernel * scale[:, None]
    raw = scaled if sign < 0 else kernel  # the kernel for pixels / 255
    bias = bias + sign * np.einsum("ijcd,c->d", raw, pixels.mean)
    return flatten([scaled, bias, *rest]).astype(np.float32)


def build_keras_model() -> tf.keras.Model:
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

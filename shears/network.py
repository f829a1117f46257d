"""The assignment's fixed network, twice: as a pure function and as a Keras model.

The pure function is what training differentiates (weights in one flat vector, dropout
rates as arguments, random numbers from counters). The Keras model is what the
assignment's grader builds; scoring uses it, and the tests hold the two together.

Source: CMU 10-405/10-605 (spring 2020), homework 5, reference [1] (Keras' cifar10_cnn).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

INPUT_SHAPE = (32, 32, 3)
CLASSES = 10


class Layer(NamedTuple):
    """A layer that has weights.

    Attributes:
        name: Keras' name for it, used in weights files.
        kernel: Shape of the kernel: (height, width, in, out) or (in, out).
        padding: "SAME" or "VALID" for a convolution, "" for a dense layer.
    """

    name: str
    kernel: tuple[int, ...]
    padding: str


LAYERS = (
    Layer("conv2d", (3, 3, 3, 32), "SAME"),
    Layer("conv2d_1", (3, 3, 32, 32), "VALID"),
    Layer("conv2d_2", (3, 3, 32, 64), "SAME"),
    Layer("conv2d_3", (3, 3, 64, 64), "VALID"),
    Layer("dense", (2304, 512), ""),
    Layer("dense_1", (512, CLASSES), ""),
)
# Kernel and bias of each layer in turn: the order of every weights list and flat vector.
SHAPES: tuple[tuple[int, ...], ...] = tuple(
    shape for layer in LAYERS for shape in (layer.kernel, layer.kernel[-1:])
)
SIZES = tuple(int(np.prod(shape)) for shape in SHAPES)
PARAMETERS = sum(SIZES)  # 1,250,858
KERNELS = range(0, len(SHAPES), 2)


def initial_weights(seed: int) -> list[np.ndarray]:
    """Draws Keras' default initial weights.

    Args:
        seed: Seed of the draw.

    Returns:
        Twelve float32 arrays: kernels Glorot uniform (Glorot and Bengio 2010, eq. 16),
        biases zero.
    """
    rng = np.random.default_rng(seed)
    weights = []
    for layer in LAYERS:
        receptive = int(np.prod(layer.kernel[:-2]))
        limit = np.sqrt(6 / (receptive * sum(layer.kernel[-2:])))
        weights.append(rng.uniform(-limit, limit, layer.kernel).astype(np.float32))
        weights.append(np.zeros(layer.kernel[-1:], np.float32))
    return weights


def flatten(weights: Sequence[np.ndarray]) -> np.ndarray:
    """Joins the twelve arrays into one vector of `PARAMETERS` values, dtype kept."""
    return np.concatenate([array.ravel() for array in weights])


def unflatten(vector: np.ndarray) -> list[np.ndarray]:
    """Cuts a vector of `PARAMETERS` values into the twelve arrays (views)."""
    parts = np.split(vector, np.cumsum(SIZES)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True)]


def logits(
    vector: tf.Tensor,
    images: tf.Tensor,
    dropout: Sequence[float] = (0.0, 0.0, 0.0),
    seed: tf.Tensor | None = None,
) -> tf.Tensor:
    """Computes the network's outputs before the softmax.

    Args:
        vector: (PARAMETERS,) float32, all weights in the order of `SHAPES`.
        images: (B, 32, 32, 3), pixels / 255; their dtype (float32 or bfloat16) is what
            everything but the last layer is computed in.
        dropout: Shares of units dropped after the two poolings and the dense layer.
        seed: (2,) int32 for the dropout masks; needed when a rate is not zero.

    Returns:
        (B, 10) float32 logits.
    """
    parts = tf.split(vector, SIZES)
    arrays = [tf.reshape(part, shape) for part, shape in zip(parts, SHAPES, strict=True)]
    *hidden, kernel_out, bias_out = arrays
    k1, b1, k2, b2, k3, b3, k4, b4, k5, b5 = (tf.cast(a, images.dtype) for a in hidden)

    def convolve(x: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor, index: int):
        y = tf.nn.conv2d(x, kernel, 1, LAYERS[index].padding)
        return tf.nn.relu(tf.nn.bias_add(y, bias))

    def drop(x: tf.Tensor, index: int) -> tf.Tensor:
        if dropout[index] == 0:
            return x
        return tf.nn.experimental.stateless_dropout(
            x, dropout[index], seed=seed + [0, index]
        )

    x = convolve(images, k1, b1, 0)  # (B, 32, 32, 32)
    x = convolve(x, k2, b2, 1)  # (B, 30, 30, 32)
    x = drop(tf.nn.max_pool2d(x, 2, 2, "VALID"), 0)  # (B, 15, 15, 32)
    x = convolve(x, k3, b3, 2)  # (B, 15, 15, 64)
    x = convolve(x, k4, b4, 3)  # (B, 13, 13, 64)
    x = drop(tf.nn.max_pool2d(x, 2, 2, "VALID"), 1)  # (B, 6, 6, 64)
    x = tf.reshape(x, (-1, 2304))
    x = drop(tf.nn.relu(tf.matmul(x, k5) + b5), 2)  # (B, 512)
    return tf.matmul(tf.cast(x, tf.float32), kernel_out) + bias_out  # (B, 10)


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

"""The fixed network's parameters, as arrays and as one vector."""

from collections.abc import Sequence

import numpy as np

from shears.model.architecture import PARAMETERS, SHAPES, SIZES

SMALLEST = np.finfo(np.float32).tiny  # below it a number is denormal


def flatten(weights: Sequence[np.ndarray]) -> np.ndarray:
    """Joins the twelve arrays into one vector of `PARAMETERS` values, dtype kept."""
    return np.concatenate([array.ravel() for array in weights])


def unflatten(vector: np.ndarray) -> list[np.ndarray]:
    """Cuts a vector of `PARAMETERS` values into the twelve arrays (views)."""
    parts = np.split(vector, np.cumsum(SIZES)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True)]


def clean(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Makes what loaders disagree on the same for all: denormals and -0.0 become 0.0.

    Args:
        weights: The twelve arrays.

    Returns:
        Copies, float32.
    """
    return [
        np.where(np.abs(array) < SMALLEST, np.float32(0), array).astype(np.float32)
        for array in weights
    ]


def count_zeros(weights: Sequence[np.ndarray]) -> int:
    """Counts the zeros among all `PARAMETERS` weights, biases too."""
    return PARAMETERS - sum(int(np.count_nonzero(array)) for array in weights)

"""Normalised pixels, and folding them into the first layer."""

from typing import NamedTuple

import numpy as np

from shears.model.parameters import flatten, unflatten


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

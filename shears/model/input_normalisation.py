"""Normalised pixels, and folding the normalisation into the first layer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shears.model.parameters import Parameters


class PixelStatistics(NamedTuple):
    """Mean and standard deviation of pixels / 255 per channel: (3,) float32 each."""

    mean: np.ndarray
    std: np.ndarray


def measure_pixels(images: np.ndarray) -> PixelStatistics:
    """Measures (N, 32, 32, 3) uint8 images; a constant channel gets a std of 1."""
    # Counting is exact and needs no float copy of the images.
    fractions = np.stack(
        [np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)]
    ) / (images.size / 3)
    values = np.arange(256) / 255
    mean = fractions @ values
    std = np.sqrt(np.maximum(fractions @ values**2 - mean**2, 0))
    std[std == 0] = 1
    return PixelStatistics(mean.astype(np.float32), std.astype(np.float32))


def fold(parameters: Parameters, pixels: PixelStatistics) -> Parameters:
    """Turns parameters for normalised pixels into parameters for pixels / 255.

    Normalisation is linear, so the first layer can absorb it: W' = W / std,
    b' = b - sum(W' mean). This is exact at the borders too, if they are padded with the
    normalised value of a raw zero (as `forward.logits` does, in effect). The kernel's
    zeros stay zero.

    Args:
        parameters: float32.
        pixels: The statistics that pixels were normalised by.

    Returns:
        float32.
    """
    kernel, bias, *rest = _in_float64(parameters)
    raw_kernel = kernel * (1 / pixels.std.astype(np.float64))[:, None]
    bias = bias - np.einsum("ijcd,c->d", raw_kernel, pixels.mean)
    return _in_float32([raw_kernel, bias, *rest])


def unfold(parameters: Parameters, pixels: PixelStatistics) -> Parameters:
    """Undoes `fold`, up to rounding."""
    raw_kernel, bias, *rest = _in_float64(parameters)
    kernel = raw_kernel * pixels.std.astype(np.float64)[:, None]
    bias = bias + np.einsum("ijcd,c->d", raw_kernel, pixels.mean)
    return _in_float32([kernel, bias, *rest])


def _in_float64(parameters: Parameters) -> list[np.ndarray]:
    return Parameters(parameters.vector.astype(np.float64)).arrays


def _in_float32(arrays: Sequence[np.ndarray]) -> Parameters:
    return Parameters(Parameters.from_arrays(arrays).vector.astype(np.float32))

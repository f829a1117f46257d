"""Masks: which weights stay when so many must be zero.

All twelve arrays count, so all are ranked in one order and the lowest are cut: first
what is zero already (pruned stays pruned), then kernels by their score, then biases.
Ties are broken by index, so the number of zeros is exactly what was asked for.
"""

from collections.abc import Sequence

import numpy as np

from shears.architecture import KERNELS, PARAMETERS, flatten, unflatten
from shears.errors import UserError
from shears.weights import SMALLEST


def magnitude_scores(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores by |w|, compared over all kernels at once (Han et al. 2015).

    Args:
        weights: The twelve arrays, float32.

    Returns:
        A score of the same shape, float64, for each.
    """
    return [np.abs(array.astype(np.float64)) for array in weights]


def lamp_scores(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Scores by layer-adaptive magnitude (LAMP; Lee et al. 2021, eq. 4).

    Within an array sorted by magnitude, score(u) = w_u^2 / sum of w_v^2 over v >= u.
    The largest weight of each scores 1: no array is emptied before all are at their
    last.

    Args:
        weights: The twelve arrays, float32.

    Returns:
        A score of the same shape, float64, for each.
    """
    scores = []
    for array in weights:
        square = array.astype(np.float64).ravel() ** 2
        kept = np.flatnonzero(square)  # few, late in pruning: sorting is what costs
        order = kept[np.argsort(square[kept], kind="stable")]
        tail = np.cumsum(square[order][::-1])[::-1]
        score = np.zeros_like(square)
        score[order] = square[order] / tail
        scores.append(score.reshape(array.shape))
    return scores


ALLOCATIONS = {"magnitude": magnitude_scores, "lamp": lamp_scores}


def zeros_for(sparsity: float) -> int:
    """Converts a sparsity to the number of zeros among all parameters, rounded."""
    return round(sparsity * PARAMETERS)


def make_mask(vector: np.ndarray, zeros: int, allocation: str) -> np.ndarray:
    """Makes the mask with exactly so many zeros.

    Args:
        vector: (PARAMETERS,) float32, the weights as they are.
        zeros: How many of them the mask cuts.
        allocation: A key of `ALLOCATIONS`.

    Returns:
        (PARAMETERS,) float32 of 0 and 1. Every weight that is zero already is cut.

    Raises:
        UserError: More weights than that are zero already.
    """
    zero = np.abs(vector) < SMALLEST  # denormals too: weights files have none
    found = int(np.count_nonzero(zero))
    if found > zeros:
        raise UserError(
            f"{found:,} weights are zero already, more than the {zeros:,} of the mask "
            "asked for: raise the round's sparsity"
        )
    scores = ALLOCATIONS[allocation](unflatten(vector))
    above = 1 + max(float(scores[i].max()) for i in KERNELS)
    for i, score in enumerate(scores):
        if i not in KERNELS:
            score += above  # few and dear: a bias goes only when all kernels are empty
    flat = np.where(zero, -1.0, flatten(scores))
    mask = np.ones(PARAMETERS, np.float32)
    if zeros > 0:
        threshold = np.partition(flat, zeros - 1)[zeros - 1]
        below = flat < threshold
        ties = np.flatnonzero(flat == threshold)[: zeros - np.count_nonzero(below)]
        mask[below] = 0
        mask[ties] = 0
    return mask

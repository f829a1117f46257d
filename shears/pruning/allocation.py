"""Allocation: how sparsity is distributed over the kernels.

Each allocation turns the saliencies of the kernels into scores that are compared over
all kernels: the weights with the lowest scores are pruned.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from shears.model.architecture import LAYERS

Allocation = Literal["lamp", "global", "uniform", "erk", "ratio"]

# (saliencies of the kernels, negative where already pruned; number of weights to keep)
# -> scores of the same shapes
ScoreFunction = Callable[[Sequence[np.ndarray], int], list[np.ndarray]]


def global_scores(saliencies: Sequence[np.ndarray], budget: int) -> list[np.ndarray]:
    """Scores every weight by its saliency."""
    return [np.maximum(saliency, 0) for saliency in saliencies]


def lamp_scores(saliencies: Sequence[np.ndarray], budget: int) -> list[np.ndarray]:
    """Scores by layer-adaptive magnitude (LAMP; Lee et al. 2021, eq. 4).

    Within a kernel sorted by saliency, score(u) = s_u^2 / sum of s_v^2 over v >= u. The
    most salient weight of each kernel scores 1, so no kernel is emptied before all are
    down to their last weight.
    """
    scores = []
    for saliency in saliencies:
        square = np.maximum(saliency, 0).ravel() ** 2
        # Sorting is the cost, and late in pruning few weights are nonzero.
        nonzero = np.flatnonzero(square)
        order = nonzero[np.argsort(square[nonzero], kind="stable")]
        tail = np.cumsum(square[order][::-1])[::-1]
        score = np.zeros_like(square)
        score[order] = square[order] / tail
        scores.append(score.reshape(saliency.shape))
    return scores


def distribute(budget: int, room: Sequence[int], shares: Sequence[float]) -> list[int]:
    """Distributes a number in proportion to shares, exactly, none above its room.

    The excess over one's room goes to the others. Rounding is by largest remainder.

    Args:
        budget: The number to distribute, at most sum(room).
        room: The most that each can take.
        shares: The proportions, all positive.

    Returns:
        Numbers that sum to `budget`.
    """
    most, wanted = np.array(room, float), np.array(shares, float)
    full = np.zeros(len(most), bool)
    while True:
        left = budget - most[full].sum()
        open_shares = np.where(full, 0, wanted)
        targets = left * open_shares / max(open_shares.sum(), 1e-300)
        overfull = ~full & (targets >= most)
        if not overfull.any():
            break
        full |= overfull
    targets = np.where(full, most, targets)
    counts = np.floor(targets).astype(int)
    by_remainder = np.argsort(counts - targets, kind="stable")
    order = [i for i in by_remainder if counts[i] < most[i]]
    for i in order[: budget - counts.sum()]:
        counts[i] += 1
    return counts.tolist()


def _scores_by_counts(
    saliencies: Sequence[np.ndarray], counts: Sequence[int]
) -> list[np.ndarray]:
    """Scores the `count` most salient weights of each kernel 1, and the others 0."""
    scores = []
    for saliency, count in zip(saliencies, counts, strict=True):
        score = np.zeros(saliency.size)
        score[np.argsort(-saliency.ravel(), kind="stable")[:count]] = 1
        scores.append(score.reshape(saliency.shape))
    return scores


def proportional_scores(densities: Sequence[float]) -> ScoreFunction:
    """Returns a score function that makes densities proportional, none above 1.

    Args:
        densities: Of the six kernels, up to a common factor.
    """

    def scores(saliencies: Sequence[np.ndarray], budget: int) -> list[np.ndarray]:
        room = [int(np.count_nonzero(saliency >= 0)) for saliency in saliencies]
        shares = [d * s.size for d, s in zip(densities, saliencies, strict=True)]
        return _scores_by_counts(saliencies, distribute(budget, room, shares))

    return scores


# Erdos-Renyi-kernel (Evci et al. 2020, section 3): (in + out + width + height) over
# their product.
_ERK = [sum(layer.kernel) / float(np.prod(layer.kernel)) for layer in LAYERS]
_FIXED: dict[str, ScoreFunction] = {
    "global": global_scores,
    "lamp": lamp_scores,
    "uniform": proportional_scores([1.0] * len(LAYERS)),
    "erk": proportional_scores(_ERK),
}


def score_function(allocation: Allocation, densities: Sequence[float]) -> ScoreFunction:
    """Returns an allocation's score function; only "ratio" uses the densities."""
    if allocation == "ratio":
        return proportional_scores(densities)
    return _FIXED[allocation]

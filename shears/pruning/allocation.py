"""Allocation: how sparsity is distributed over the kernels.

Each allocation turns the saliencies of the kernels into scores that are compared over
all kernels: the weights with the lowest scores are pruned.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from shears.model.architecture import LAYERS

Allocation = Literal["lamp", "global", "uniform", "erk", "ratio"]

# (saliencies of the kernels, negative where pruned before; how many weights stay) ->
# scores of the same shapes
ScoreFunction = Callable[[Sequence[np.ndarray], int], list[np.ndarray]]


def global_scores(saliencies: Sequence[np.ndarray], budget: int) -> list[np.ndarray]:
    """Scores the weights of all kernels by their saliency itself."""
    return [np.maximum(saliency, 0) for saliency in saliencies]


def lamp_scores(saliencies: Sequence[np.ndarray], budget: int) -> list[np.ndarray]:
    """Scores by layer-adaptive magnitude (LAMP; Lee et al. 2021, eq. 4).

    Within a kernel sorted by saliency, score(u) = s_u^2 / sum of s_v^2 over v >= u. The
    largest weight of each kernel scores 1, so no kernel is emptied before all are down
    to their last weight.
    """
    scores = []
    for saliency in saliencies:
        square = np.maximum(saliency, 0).ravel() ** 2
        kept = np.flatnonzero(square)  # few, late in pruning: sorting is what costs
        order = kept[np.argsort(square[kept], kind="stable")]
        tail = np.cumsum(square[order][::-1])[::-1]
        score = np.zeros_like(square)
        score[order] = square[order] / tail
        scores.append(score.reshape(saliency.shape))
    return scores


def distribute(budget: int, room: Sequence[int], shares: Sequence[float]) -> list[int]:
    """Distributes a number in proportion to shares, exactly, none above its room.

    What one has no room for goes to the others; fractions are rounded by largest
    remainder.

    Args:
        budget: What is distributed, at most sum(room).
        room: The most that each can take.
        shares: In which proportion, all positive.

    Returns:
        Numbers that sum to `budget`.
    """
    room, shares = np.array(room, float), np.array(shares, float)
    full = np.zeros(len(room), bool)
    while True:
        left = budget - room[full].sum()
        open_shares = np.where(full, 0, shares)
        wanted = left * open_shares / max(open_shares.sum(), 1e-300)
        over = ~full & (wanted >= room)
        if not over.any():
            break
        full |= over
    wanted = np.where(full, room, wanted)
    counts = np.floor(wanted).astype(int)
    order = np.argsort(counts - wanted, kind="stable")
    order = [i for i in order if counts[i] < room[i]]
    for i in order[: budget - counts.sum()]:
        counts[i] += 1
    return counts.tolist()


def _scores_by_counts(
    saliencies: Sequence[np.ndarray], counts: Sequence[int]
) -> list[np.ndarray]:
    """Scores so that a number of each kernel's weights comes before all others."""
    scores = []
    for saliency, count in zip(saliencies, counts, strict=True):
        score = np.zeros(saliency.size)
        score[np.argsort(-saliency.ravel(), kind="stable")[:count]] = 1
        scores.append(score.reshape(saliency.shape))
    return scores


def proportional_scores(densities: Sequence[float]) -> ScoreFunction:
    """Scores so that the kernels' densities are in proportion, none above 1.

    Args:
        densities: Of the six kernels, up to a common factor.
    """

    def scores(saliencies: Sequence[np.ndarray], budget: int) -> list[np.ndarray]:
        room = [np.count_nonzero(saliency >= 0) for saliency in saliencies]
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


def score_function(
    allocation: Allocation, densities: Sequence[float] | None
) -> ScoreFunction:
    """Finds an allocation's scores; densities are for "ratio" alone."""
    if allocation == "ratio":
        return proportional_scores(densities)
    return _FIXED[allocation]

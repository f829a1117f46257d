"""Allocation: how many weights each kernel keeps, or how many units each layer.

Within a kernel, the most salient weights are kept, so an allocation is a count for each
kernel. One kind compares scores over all kernels; the other gives densities. For units,
both kinds are scores.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from shears.model.architecture import KERNEL_SIZES, LAYERS

Allocation = Literal["lamp", "global", "uniform", "erk", "ratio"]

# Saliencies of a kernel's weights or a layer's units, (N,) ascending -> their scores,
# (N,) ascending. Those with the lowest scores of all are pruned.
ScoreFunction = Callable[[np.ndarray], np.ndarray]


def global_scores(saliencies: np.ndarray) -> np.ndarray:
    """Scores every weight by its saliency."""
    return saliencies


def lamp_scores(saliencies: np.ndarray) -> np.ndarray:
    """Scores by layer-adaptive magnitude (LAMP; Lee et al. 2021, eq. 4).

    score(u) = s_u^2 / sum of s_v^2 over v >= u. The most salient weight of each kernel
    scores 1, so no kernel is emptied before all are down to their last weight.
    """
    squares = saliencies**2
    sums = np.cumsum(squares[::-1])[::-1]
    return np.divide(squares, sums, out=np.zeros_like(squares), where=sums > 0)


def count_by_scores(
    score: ScoreFunction,
    saliencies: Sequence[np.ndarray],
    budget: int,
    least: Sequence[int],
) -> list[int]:
    """Counts the weights of each kernel whose scores are the highest of all.

    Args:
        score: The score function.
        saliencies: Of the kernels, any shapes; negative where already pruned.
        budget: How many weights are kept in all.
        least: How many weights of each kernel are kept in any case.

    Returns:
        A count for each kernel; they sum to `budget`. Of equal scores, those of the
        later kernels are kept.
    """
    scores = []
    for saliency, count in zip(saliencies, least, strict=True):
        scores.append(score(np.sort(saliency[saliency >= 0])))
        scores[-1][len(scores[-1]) - count :] = np.inf
    if budget == 0:
        return [0] * len(scores)
    everything = np.concatenate(scores)
    place = len(everything) - budget
    threshold = np.partition(everything, place)[place]
    counts = [len(s) - np.searchsorted(s, threshold, "right") for s in scores]
    for i in reversed(range(len(scores))):
        ties = len(scores[i]) - np.searchsorted(scores[i], threshold) - counts[i]
        counts[i] += min(ties, budget - sum(counts))
    return [int(count) for count in counts]


def distribute(
    budget: int, room: Sequence[int], shares: Sequence[float], least: Sequence[int]
) -> list[int]:
    """Distributes a number in proportion to shares, exactly, within bounds.

    Rounding is by largest remainder.

    Args:
        budget: The number to distribute, sum(least) to sum(room).
        room: The most that each can take.
        shares: The proportions, all positive.
        least: The least that each takes, at most its room.

    Returns:
        Numbers that sum to `budget`.
    """
    fractions = np.array(shares, float) / max(shares)
    low, high = 0.0, max(room) / fractions.min()  # of the factor of the fractions
    for _ in range(100):
        middle = (low + high) / 2
        if np.clip(middle * fractions, least, room).sum() < budget:
            low = middle
        else:
            high = middle
    targets = np.clip(low * fractions, least, room)
    counts = np.floor(targets).astype(int)
    remainders = targets - counts
    while (left := budget - counts.sum()) > 0:
        order = np.argsort(-remainders, kind="stable")
        fitting = [i for i in order if counts[i] < room[i]]
        counts[fitting[:left]] += 1
    return [int(count) for count in counts]


# Erdos-Renyi-kernel (Evci et al. 2020, section 3): (in + out + width + height) over
# their product.
_ERK = [sum(layer.kernel) / float(np.prod(layer.kernel)) for layer in LAYERS]
_SCORES: dict[str, ScoreFunction] = {"global": global_scores, "lamp": lamp_scores}
_DENSITIES = {"uniform": [1.0] * len(LAYERS), "erk": _ERK}


def allocate(
    allocation: Allocation,
    saliencies: Sequence[np.ndarray],
    budget: int,
    least: Sequence[int],
    densities: Sequence[float] = (),
) -> list[int]:
    """Decides how many weights each kernel keeps.

    Args:
        allocation: Its name. "ratio" makes densities proportional to `densities`,
            "erk" and "uniform" to fixed ones; none is above 1.
        saliencies: Of the six kernels; negative where already pruned.
        budget: How many weights are kept in all, sum(least) to as many as are left.
        least: How many weights of each kernel are kept in any case.
        densities: For "ratio": of the six kernels, up to a common factor.

    Returns:
        A count for each kernel; they sum to `budget`.
    """
    if allocation in _SCORES:
        return count_by_scores(_SCORES[allocation], saliencies, budget, least)
    room = [int(np.count_nonzero(saliency >= 0)) for saliency in saliencies]
    densities = _DENSITIES.get(allocation, densities)
    shares = [d * size for d, size in zip(densities, KERNEL_SIZES, strict=True)]
    return distribute(budget, room, shares, least)


def score_units(
    allocation: Allocation,
    saliencies: Sequence[np.ndarray],
    densities: Sequence[float] = (),
) -> list[np.ndarray]:
    """Scores units, so that those of different layers compare.

    Args:
        allocation: Its name. "lamp" and "global" score units as they score weights. By
            the others, the fractions of their units that the layers keep are in
            proportion to the densities of their kernels.
        saliencies: Of the hidden layers' units, (units,) each.
        densities: For "ratio": of the six kernels, up to a common factor.

    Returns:
        For each layer, (units,). The units with the lowest scores of all go first;
        within a layer, a less salient one never scores higher.
    """
    densities = _DENSITIES.get(allocation, densities)
    scores = []
    for i, saliency in enumerate(saliencies):
        order = np.argsort(saliency, kind="stable")
        if allocation in _SCORES:
            ordered = _SCORES[allocation](saliency[order])
        else:  # the k-th most salient of n stays while the fraction kept is k / n
            ordered = densities[i] * len(order) / np.arange(len(order), 0, -1)
        scores.append(np.empty(len(order)))
        scores[-1][order] = ordered
    return scores

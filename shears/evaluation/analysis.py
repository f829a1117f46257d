"""What speaks for a submission: its expected score, its errors, what pruning did."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from shears.evaluation.score import LEAST_ACCURACY, score
from shears.model.architecture import LAYERS

CONFIDENCE = 0.95


def expect_score(validation: Mapping[str, float], images: int) -> dict[str, float]:
    """Predicts a candidate's score on other images from its validation score.

    The number of right answers among `images` new ones is beta-binomial where the
    accuracy has a uniform prior (Bayes 1763) and the validation images were seen.
    Having been chosen as the best of several on the same images makes it a little too
    good; that is not corrected.

    Args:
        validation: Its score on the validation set: correct, images, zeros.
        images: How many new images there will be.

    Returns:
        expected (the mean score), low and high (`CONFIDENCE` of all cases lie between),
        miss (the probability of an accuracy of at most 0.65, which scores 0),
        accuracy_margin (expected accuracy above 0.65).
    """
    wrong = validation["images"] - validation["correct"]
    right = stats.betabinom(images, validation["correct"] + 1, wrong + 1)
    zeros = int(validation["zeros"])
    tail = (1 - CONFIDENCE) / 2
    low, high = (score(right.ppf(p) / images, zeros) for p in (tail, 1 - tail))
    counts = np.arange(images + 1)
    scores = np.array([score(count / images, zeros) for count in counts])
    return {
        "expected": float(right.pmf(counts) @ scores),
        "low": low,
        "high": high,
        "miss": float(right.cdf(np.floor(LEAST_ACCURACY * images))),
        "accuracy_margin": float(right.mean() / images - LEAST_ACCURACY),
    }


def compare_choices(
    validation: Sequence[float], test: Sequence[float], chosen: int
) -> dict[str, float]:
    """Tells how much choosing by validation differs from choosing by test.

    Args:
        validation: Validation score of each candidate.
        test: Test score of each.
        chosen: Which was chosen.

    Returns:
        best (which has the best test score), lost (its lead in test score over the
        chosen one), rank (the chosen one's by test score, 1 is best), correlation of
        the ranks (Spearman 1904; NaN for fewer than three candidates).
    """
    best = int(np.argmax(test))
    correlation = float("nan")
    if len(test) > 2 and len(set(test)) > 1 and len(set(validation)) > 1:
        correlation = float(stats.spearmanr(validation, test).statistic)
    return {
        "best": best,
        "lost": test[best] - test[chosen],
        "rank": 1 + sum(value > test[chosen] for value in test),
        "correlation": correlation,
    }


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Finds the points that no other one beats in both coordinates.

    Args:
        points: Sparsity and accuracy of each candidate.

    Returns:
        Their numbers, by rising sparsity.
    """
    order = sorted(range(len(points)), key=lambda i: points[i], reverse=True)
    found: list[int] = []
    for i in order:
        if not found or points[i][1] > points[found[-1]][1]:
            found.append(i)
    return found[::-1]


class Changes(NamedTuple):
    """What pruning changed in the answers, as numbers of test images.

    Attributes:
        lost: Right before, wrong after.
        won: Wrong before, right after.
        moved: Wrong before and after, in another way.
    """

    lost: np.ndarray
    won: np.ndarray
    moved: np.ndarray


def compare_answers(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> Changes:
    """Finds the images whose answer changed.

    Args:
        labels: What the images show: (N,).
        before: What the dense network took them for: (N,).
        after: What the pruned one takes them for: (N,).
    """
    changed = before != after
    right_before, right_after = before == labels, after == labels
    return Changes(
        *(
            np.flatnonzero(changed & which)
            for which in (right_before, right_after, ~right_before & ~right_after)
        )
    )


def count_confusions(labels: np.ndarray, answers: np.ndarray) -> np.ndarray:
    """Counts answers by class: (10, 10) int, rows are what the images show."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, answers), 1)
    return counts


def dead_units(weights: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Finds the units that have no incoming or no outgoing weights.

    Args:
        weights: The twelve arrays.

    Returns:
        For each hidden layer, by its name in `LAYERS`, a bool for each unit.
    """
    found = {}
    for i, layer in enumerate(LAYERS[:-1]):
        units = layer.kernel[-1]
        incoming = weights[2 * i].reshape(-1, units)
        # Channels come last in the flattened input of the dense layer, too.
        outgoing = weights[2 * i + 2].reshape(-1, units, LAYERS[i + 1].kernel[-1])
        found[layer.name] = ~incoming.any(0) | ~outgoing.any((0, 2))
    return found


def count_values(
    kernels: Mapping[str, np.ndarray], bins: int = 40
) -> list[dict[str, float]]:
    """Counts the nonzero weights of a kernel before and after pruning, by value.

    Args:
        kernels: By the name of the stage; the same kernel in each.
        bins: Into how many equal ranges all values are put.

    Returns:
        Rows of stage, low, high (the range's ends) and share (of the kernel's weights).
    """
    nonzero = {name: kernel[kernel != 0] for name, kernel in kernels.items()}
    largest = max(
        (float(np.abs(v).max()) for v in nonzero.values() if v.size), default=1
    )
    edges = np.linspace(-largest, largest, bins + 1)
    rows = []
    for name, values in nonzero.items():
        counts, _ = np.histogram(values, edges)
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            share = int(count) / kernels[name].size
            rows.append(
                {"stage": name, "low": low.item(), "high": high.item(), "share": share}
            )
    return rows

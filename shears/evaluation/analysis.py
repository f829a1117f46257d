"""Analysis of a submission: its expected score, its errors, what pruning changed."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

from shears.evaluation.score import LEAST_ACCURACY, score

CONFIDENCE = 0.95  #: probability that an interval holds the value


def expect_score(validation: Mapping[str, float], images: int) -> dict[str, float]:
    """Predicts a candidate's score on new images from its validation score.

    With a uniform prior for the accuracy (Bayes 1763), the number of correct
    predictions among `images` new images is beta-binomial, given the validation
    images. The expectation is slightly optimistic for the best of several candidates
    on the same images; this is not corrected.

    Args:
        validation: Its score on the validation set: correct, images, zeros.
        images: How many new images there will be.

    Returns:
        expected (the mean score), low and high (the central interval with probability
        `CONFIDENCE`), miss (the probability of an accuracy of at most 0.65, which
        scores 0), accuracy_margin (expected accuracy minus 0.65).
    """
    wrong = validation["images"] - validation["correct"]
    correct = stats.betabinom(images, validation["correct"] + 1, wrong + 1)
    zeros = int(validation["zeros"])
    tail = (1 - CONFIDENCE) / 2
    low, high = (score(correct.ppf(p) / images, zeros) for p in (tail, 1 - tail))
    counts = np.arange(images + 1)
    scores = np.array([score(count / images, zeros) for count in counts])
    return {
        "expected": float(correct.pmf(counts) @ scores),
        "low": low,
        "high": high,
        "miss": float(correct.cdf(np.floor(LEAST_ACCURACY * images))),
        "accuracy_margin": float(correct.mean() / images - LEAST_ACCURACY),
    }


def compare_choices(
    validation: Sequence[float], test: Sequence[float], chosen: int
) -> dict[str, float]:
    """Compares the choice by validation with the choice by test.

    Args:
        validation: Validation score of each candidate.
        test: Test score of each.
        chosen: Index of the chosen candidate.

    Returns:
        best (index of the best test score), lost (its lead in test score over the
        chosen one), rank (of the chosen one by test score, 1 is best), correlation of
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
    """Finds the points that no other point beats in both coordinates.

    Args:
        points: Sparsity and accuracy of each candidate.

    Returns:
        Their indices, by rising sparsity.
    """
    order = sorted(range(len(points)), key=lambda i: points[i], reverse=True)
    best: list[int] = []
    for i in order:
        if not best or points[i][1] > points[best[-1]][1]:
            best.append(i)
    return best[::-1]


class Changes(NamedTuple):
    """How pruning changed the predictions, as indices of test images.

    Attributes:
        lost: Correct before, wrong after.
        won: Wrong before, correct after.
        moved: Wrong before and after, with a different prediction.
    """

    lost: np.ndarray
    won: np.ndarray
    moved: np.ndarray


def compare_predictions(
    labels: np.ndarray, before: np.ndarray, after: np.ndarray
) -> Changes:
    """Finds the images whose prediction changed.

    Args:
        labels: (N,), the true classes.
        before: (N,), predictions of the dense network.
        after: (N,), predictions of the pruned network.
    """
    changed = before != after
    correct_before, correct_after = before == labels, after == labels
    return Changes(
        *(
            np.flatnonzero(changed & which)
            for which in (
                correct_before,
                correct_after,
                ~correct_before & ~correct_after,
            )
        )
    )


def count_confusions(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Counts predictions by class: (10, 10) int, rows are the true classes."""
    counts = np.zeros((10, 10), int)
    np.add.at(counts, (labels, predictions), 1)
    return counts


def count_values(
    kernels: Mapping[str, np.ndarray], bins: int = 40
) -> list[dict[str, str | float]]:
    """Counts the nonzero weights of a kernel before and after pruning, by value.

    Args:
        kernels: The same kernel at each stage, by the stage's name.
        bins: Number of equal ranges.

    Returns:
        Rows of stage, low, high (the range's ends) and share (the fraction of the
        kernel's weights in the range).
    """
    nonzero = {name: kernel[kernel != 0] for name, kernel in kernels.items()}
    largest = max(
        (float(np.abs(v).max()) for v in nonzero.values() if v.size), default=1
    )
    edges = np.linspace(-largest, largest, bins + 1)
    rows: list[dict[str, str | float]] = []
    for name, values in nonzero.items():
        counts, _ = np.histogram(values, edges)
        for low, high, count in zip(edges, edges[1:], counts, strict=False):
            rows.append(
                {
                    "stage": name,
                    "low": low.item(),
                    "high": high.item(),
                    "share": int(count) / kernels[name].size,
                }
            )
    return rows

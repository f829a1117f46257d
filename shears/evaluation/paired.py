"""Paired comparison of methods on the same images: means, standard errors, a verdict.

Two networks make many of the same errors. Their difference on each image varies less
than either network does, so far fewer images decide between them.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

#: Standard errors by which a difference of two networks must exceed zero to be decided.
ERRORS = 2.0
_CONFIDENCE = 2 * stats.norm.cdf(ERRORS) - 1


class Outcomes(NamedTuple):
    """How a network does on each image.

    Attributes:
        cross_entropy: (N,) float64, of the labels.
        accuracy: (N,) float64, 1 where the prediction is correct, else 0.
    """

    cross_entropy: np.ndarray
    accuracy: np.ndarray


#: Whether more is better.
MORE_IS_BETTER = {"cross_entropy": False, "accuracy": True}


class PairedDifference(NamedTuple):
    """A mean difference.

    Attributes:
        mean: Over images and seeds.
        standard_error: Of the mean (`compare`).
        seeds: How many pairs of networks.
        images: How many images, the same for all of them.
        needed: Standard errors by which the mean must exceed zero to be decided.
    """

    mean: float
    standard_error: float
    seeds: int
    images: int
    needed: float = ERRORS


def measure_outcomes(logits: np.ndarray, labels: np.ndarray) -> Outcomes:
    """Computes each image's cross-entropy, and whether its prediction is correct.

    Args:
        logits: (N, 10), any floating dtype.
        labels: (N,), the true classes.
    """
    logits = logits.astype(np.float64)
    logits -= logits.max(1, keepdims=True)
    rows = np.arange(len(labels))
    losses = np.log(np.exp(logits).sum(1)) - logits[rows, labels]
    return Outcomes(losses, (logits.argmax(1) == labels).astype(np.float64))


def compare(first: np.ndarray, other: np.ndarray) -> PairedDifference:
    """Computes the mean difference of two methods and its standard error.

    With one seed, the standard error covers the draw of the images: what these two
    networks would do on other images. Nothing is known about other seeds then.

    With several, it covers the draw of the images and of the seeds, as two crossed
    random effects. Seeds vary the means over images, images vary the means over seeds,
    and what is left of both (the residual) is in each of the two variances, so it is
    subtracted once, from the seeds': a few of them may be alike by chance, and the
    variance must not be less than that of the images. As few seeds tell little about
    their variance, more standard errors are needed where it is large: the quantiles of
    both parts, weighted by their variances (Cochran and Cox 1957, Experimental Designs,
    section 4.14).

    Args:
        first: (S, N), values of the first method: a row per seed, a column per image.
        other: (S, N), of the other method, with the same seeds and images.

    Returns:
        Of `other` minus `first`.
    """
    differences = np.asarray(other, np.float64) - np.asarray(first, np.float64)
    seeds, images = differences.shape
    mean = float(differences.mean())
    by_image = differences.mean(0)
    of_images, of_seeds = _variance(by_image) / images, 0.0
    needed = ERRORS
    if seeds > 1:
        by_seed = differences.mean(1)
        residual = differences - by_image - by_seed[:, None] + mean
        degrees = (seeds - 1) * (images - 1)
        noise = float((residual**2).sum()) / max(degrees, 1) / (seeds * images)
        of_seeds = max(0.0, _variance(by_seed) / seeds - noise)
    variance = of_images + of_seeds
    if of_seeds:
        quantile = float(stats.t.ppf((1 + _CONFIDENCE) / 2, seeds - 1))
        needed = (of_images * ERRORS + of_seeds * quantile) / variance
    return PairedDifference(mean, math.sqrt(variance), seeds, images, needed)


def _variance(values: np.ndarray) -> float:
    """Estimates a variance; 0 for a single value, of which nothing is known."""
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def judge(difference: PairedDifference, *, more_is_better: bool) -> str:
    """Says whether the other method is better, worse, or neither is shown.

    Args:
        difference: Of the other method minus the first.
        more_is_better: Whether a positive difference is an improvement.
    """
    if abs(difference.mean) <= difference.needed * difference.standard_error:
        return "not decided"
    return "better" if (difference.mean > 0) == more_is_better else "worse"


def compare_methods(
    methods: Mapping[str, Sequence[Outcomes]],
) -> list[dict[str, Any]]:
    """Compares the first method with each of the others.

    Args:
        methods: By name, the outcomes for each seed, on the same images.

    Returns:
        A row per other method and measure, with method, against, measure, seeds,
        images, first and other (the means), difference, standard_error, covers (what
        that error covers), needed (standard errors for a verdict) and verdict.
    """
    (against, base), *others = methods.items()
    rows = []
    for name, outcomes in others:
        for measure, more_is_better in MORE_IS_BETTER.items():
            first, other = (
                np.stack([getattr(one, measure) for one in networks])
                for networks in (base, outcomes)
            )
            found = compare(first, other)
            rows.append(
                {
                    "method": name,
                    "against": against,
                    "measure": measure,
                    "seeds": found.seeds,
                    "images": found.images,
                    "first": float(first.mean()),
                    "other": float(other.mean()),
                    "difference": found.mean,
                    "standard_error": found.standard_error,
                    "covers": "images and seeds" if found.seeds > 1 else "images",
                    "needed": found.needed,
                    "verdict": judge(found, more_is_better=more_is_better),
                }
            )
    return rows


def describe(rows: Sequence[Mapping[str, Any]]) -> str:
    """Lays out the rows of `compare_methods` as a table to print, with a legend."""
    title = f"against {rows[0]['against']}"
    width = max(len(title), *(len(row["method"]) for row in rows))
    line = "{:<{}}  {:<13}  {:>7}  {:>7}  {:>18}  {}".format
    head = ("measure", "first", "other", "difference", "verdict")
    lines = [line(title, width, *head)]
    for row in rows:
        difference = f"{row['difference']:+.4f} ± {row['standard_error']:.4f}"
        measure = row["measure"].replace("_", "-")
        values = (f"{row[key]:.4f}" for key in ("first", "other"))
        lines.append(
            line(row["method"], width, measure, *values, difference, row["verdict"])
        )
    about = rows[0]
    seeds = "1 seed" if about["seeds"] == 1 else f"{about['seeds']} seeds"
    covers = (
        "the draw of images and of seeds"
        if about["seeds"] > 1
        else "the draw of images, not that of seeds"
    )
    lines.append(
        f"{about['images']:,} validation images, {seeds}; ± is a standard error, over "
        f"{covers}; decided at {ERRORS:g} of them"
        f"{', at more where seeds differ' if about['seeds'] > 1 else ''}"
    )
    return "\n".join(lines)

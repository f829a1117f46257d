"""Differences between candidates of two runs, with their standard errors."""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from shears.evaluation.paired import compare
from shears.reporting.candidates import Candidate
from shears.reporting.runs import Run


class Difference(NamedTuple):
    """The second of two accuracies minus the first.

    Attributes:
        value: The difference.
        error: Its standard error over images; another seed is not counted.
        paired: Whether each image was compared with itself.
    """

    value: float
    error: float
    paired: bool


def binomial_difference(
    first: Mapping[str, float], second: Mapping[str, float]
) -> Difference:
    """Subtracts accuracies of which only the number of images is known.

    If the images are the same, the standard error is too large: both networks find the
    same ones hard.

    Args:
        first: accuracy and images.
        second: The same.
    """
    variances = (
        one["accuracy"] * (1 - one["accuracy"]) / one["images"]
        for one in (first, second)
    )
    value = second["accuracy"] - first["accuracy"]
    return Difference(value, math.sqrt(sum(variances)), False)


def paired_difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Subtracts accuracies on the same images.

    Args:
        first: (N,) bool, which images the first candidate classifies correctly.
        second: The same of the second.
    """
    found = compare(first[None], second[None])
    return Difference(found.mean, found.standard_error, True)


def test_difference(first: Candidate, second: Candidate) -> Difference | None:
    """Subtracts test accuracies; None if the test images are not the same.

    They are if all labels are, in their order.

    Raises:
        UserError: A file is damaged.
    """
    if first.test["images"] != second.test["images"]:
        return None
    try:
        one, other = first.read_predictions(), second.read_predictions()
    except FileNotFoundError:
        return binomial_difference(first.test, second.test)
    if not np.array_equal(one[0], other[0]):
        return None
    return paired_difference(one[0] == one[1], other[0] == other[1])


def compare_runs(first: Run, second: Run) -> Iterator[dict[str, Any]]:
    """Compares the chosen candidates, and then those that have the same name.

    Yields:
        ``what``, ``first`` and ``second`` (candidates), ``test`` and ``validation``
        (`Difference` of the accuracies, None if the images differ), ``score`` (of the
        test scores, with its standard error; None where one of them is 0).
    """
    pairs = []
    if first.chosen and second.chosen:
        pairs.append(("chosen", first.chosen, second.chosen))
    others = {candidate.name: candidate for candidate in second.candidates}
    for candidate in first.candidates:
        if candidate.name in others:
            pairs.append((candidate.title, candidate, others[candidate.name]))
    for what, one, other in pairs:
        test = test_difference(one, other)
        validation: Difference | None = None
        score: Difference | None = None
        if test:
            validation = binomial_difference(one.validation, other.validation)
            if min(one.test["score"], other.test["score"]) > 0:
                value = other.test["score"] - one.test["score"]
                score = Difference(value, test.error / 2, test.paired)
        yield {
            "what": what,
            "first": one,
            "second": other,
            "test": test,
            "validation": validation,
            "score": score,
        }


def _flat(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """Yields the settings of a configuration by their whole key."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{key}: {name}" if key else str(name))
    else:
        yield key, value


def differing_settings(runs: list[Run]) -> list[tuple[str, list[object]]]:
    """Lists the settings that are not the same in all runs whose settings are known.

    Returns:
        Each key with its value in each run, None where it has none. ``directory`` is
        left out.
    """
    known = [dict(_flat(run.config)) for run in runs if run.config is not None]
    keys = dict.fromkeys(key for config in known for key in config)
    rows = [(key, [config.get(key) for config in known]) for key in keys]
    return [
        (key, values)
        for key, values in rows
        if key != "directory" and any(value != values[0] for value in values)
    ]

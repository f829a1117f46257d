import math

import numpy as np
import pytest

from shears.reporting.differences import (
    binomial_difference,
    compare_runs,
    differing_settings,
    paired_difference,
)
from shears.reporting.runs import read_run
from tests.invented_runs import write_run


def test_a_paired_error_counts_only_what_changed():
    first = np.array([1] * 90 + [0] * 10, bool)
    second = first.copy()
    second[:3] = False  # 3 lost
    second[-1] = True  # 1 won
    difference = paired_difference(first, second)
    assert difference.value == pytest.approx(-0.02)
    # The variance of -1 (3 times), 1 (once) and 0 (96 times).
    expected = math.sqrt((4 - 100 * 0.02**2) / 99 / 100)
    assert difference.error == pytest.approx(expected)
    assert difference.paired
    assert paired_difference(first, first).error == 0


def test_a_binomial_error_adds_the_variances():
    one = {"accuracy": 0.9, "images": 100}
    other = {"accuracy": 0.8, "images": 400}
    difference = binomial_difference(one, other)
    assert difference.value == pytest.approx(-0.1)
    assert difference.error == pytest.approx(math.sqrt(0.09 / 100 + 0.16 / 400))
    assert not difference.paired


@pytest.fixture
def runs(tmp_path):
    """Returns a function that reads two runs, the second written with arguments."""

    def runs(**second):
        folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", **second)]
        return [read_run(folder, folder.parent.name) for folder in folders]

    return runs


def test_the_chosen_come_first_then_those_of_the_same_name(runs):
    rows = list(compare_runs(*runs(correct=88)))
    assert [row["what"] for row in rows] == [
        "chosen",
        "dense, seed 0",
        "lamp, seed 0, round 1",
        "lamp, seed 0, round 2",
    ]
    chosen = rows[0]
    assert chosen["test"].paired and chosen["test"].value == pytest.approx(-0.02)
    assert chosen["score"].value == pytest.approx(-0.01)
    assert chosen["score"].error == pytest.approx(chosen["test"].error / 2)
    assert not chosen["validation"].paired
    assert rows[1]["test"].value == rows[1]["test"].error == 0


def test_other_images_are_not_compared(runs):
    rows = list(compare_runs(*runs(labels=[3] * 100)))
    assert all(row["test"] is row["score"] is row["validation"] is None for row in rows)


def test_without_predictions_the_error_is_binomial(runs):
    first, second = runs()
    for path in second.results.rglob("predictions_test.csv"):
        path.unlink()
    (row, *_) = compare_runs(first, second)
    assert not row["test"].paired and row["test"].error > 0.03


def test_a_score_of_zero_has_no_difference(runs):
    rows = list(compare_runs(*runs(correct=60)))
    assert rows[0]["test"].value == pytest.approx(-0.3)
    assert rows[0]["score"] is None


def test_only_settings_that_differ_are_listed(runs):
    first, second = runs(
        config={"seeds": [1], "directory": "b", "pruning": {"floor": 0.1}}
    )
    assert differing_settings([first, second]) == [
        ("seeds", [[0], [1]]),
        ("pruning: floor", [None, 0.1]),
    ]
    unknown = second._replace(config=None)
    assert differing_settings([first, unknown]) == []

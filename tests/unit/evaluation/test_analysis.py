import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.evaluation.analysis import (
    compare_choices,
    compare_predictions,
    count_confusions,
    count_values,
    expect_score,
    frontier,
)
from shears.evaluation.score import score
from tests.conftest import make_parameters


@pytest.mark.parametrize(("correct", "zeros"), [(4300, 1_232_095), (3300, 1_225_841)])
def test_the_expected_score_is_the_mean_of_simulated_ones(correct, zeros):
    result = expect_score({"images": 5000, "correct": correct, "zeros": zeros}, 10_000)
    rng = np.random.default_rng(0)
    accuracy = rng.binomial(10_000, rng.beta(correct + 1, 5001 - correct, 20_000)) / 1e4
    scores = np.array([score(a, zeros) for a in accuracy])
    error = 4 * scores.std() / math.sqrt(len(scores))
    assert result["expected"] == pytest.approx(scores.mean(), abs=error)
    assert result["miss"] == pytest.approx((accuracy <= 0.65).mean(), abs=0.01)
    assert (scores > result["high"]).mean() == pytest.approx(0.025, abs=0.005)
    if result["miss"] < 0.025:
        assert (scores < result["low"]).mean() == pytest.approx(0.025, abs=0.005)
    else:
        assert result["low"] == 0
    assert result["accuracy_margin"] == pytest.approx(accuracy.mean() - 0.65, abs=1e-3)


def test_a_hopeless_candidate_is_expected_to_miss():
    result = expect_score({"images": 500, "correct": 60, "zeros": 0}, 1000)
    assert result["low"] == result["high"] == 0
    assert result["expected"] == pytest.approx(0, abs=1e-12)
    assert result["miss"] == pytest.approx(1)


def test_choosing_by_validation_is_compared_with_choosing_by_test():
    result = compare_choices([0.5, 0.91, 0.9, 0.8], [0.5, 0.88, 0.9, 0.89], 1)
    assert result["best"] == 2
    assert result["lost"] == pytest.approx(0.02)
    assert result["rank"] == 3
    assert result["correlation"] == pytest.approx(0.4)
    assert math.isnan(compare_choices([0.5, 0.6], [0.5, 0.6], 1)["correlation"])
    assert math.isnan(compare_choices([0.5] * 3, [0.1, 0.2, 0.3], 1)["correlation"])


POINTS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30
)


@given(points=POINTS)
def test_the_frontier_is_what_no_other_point_beats(points):
    result = frontier(points)
    best = [points[i] for i in result]
    assert best == sorted(best)
    assert len(set(best)) == len(best)
    for x, y in points:
        beaten = any(a >= x and b >= y and (a, b) != (x, y) for a, b in points)
        assert beaten == ((x, y) not in best)


@settings(max_examples=50)
@given(seed=st.integers(0, 10_000))
def test_changed_predictions_are_sorted_by_what_changed(seed):
    rng = np.random.default_rng(seed)
    labels, before, after = rng.integers(0, 4, (3, 60), dtype=np.uint8)
    result = compare_predictions(labels, before, after)
    for i in range(60):
        kinds = [name for name, rows in result._asdict().items() if i in rows]
        expected = []
        if before[i] != after[i]:
            correct = (before[i] == labels[i], after[i] == labels[i])
            expected = [{(1, 0): "lost", (0, 1): "won", (0, 0): "moved"}[correct]]
        assert kinds == expected


def test_confusions_are_counted_by_row():
    counts = count_confusions(np.array([3, 3, 5, 3]), np.array([3, 5, 5, 5]))
    assert counts[3, 3] == 1
    assert counts[3, 5] == 2
    assert counts[5, 5] == 1
    assert counts.sum() == 4


def test_histograms_count_every_nonzero_weight():
    kernels = {
        stage: make_parameters(0, zeros=zeros).kernels[0]
        for stage, zeros in (("dense", 0.0), ("round 1", 0.8))
    }
    rows = count_values(kernels)
    for name, kernel in kernels.items():
        own = [row for row in rows if row["stage"] == name]
        assert len(own) == 40
        shares = sum(row["share"] for row in own)
        assert shares == pytest.approx((kernel != 0).mean())
        assert own[0]["low"] == pytest.approx(-own[-1]["high"])
    assert count_values({"nothing": np.zeros((3, 3))})[0]["share"] == 0

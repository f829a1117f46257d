import pytest

from shears.evaluation.score import score


def test_score_by_hand():
    assert score(0.8, 90, 100) == pytest.approx(0.85)
    assert score(0.8, 1_250_858) == pytest.approx(0.9)


def test_score_needs_more_than_065():
    assert score(0.65, 99, 100) == 0
    assert score(0.6501, 99, 100) > 0.8

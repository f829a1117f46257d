import pytest

from shears.evaluation.score import score
from shears.evaluation.selection import choose, least_safe_accuracy
from shears.runtime.errors import UserError


def candidate(accuracy: float, sparsity: float, images: int = 5000) -> dict:
    zeros = round(sparsity * 1_250_858)
    return {
        "images": images,
        "accuracy": accuracy,
        "sparsity": sparsity,
        "score": score(accuracy, zeros),
    }


def test_choose_takes_the_best_validation_score():
    scores = {
        "a": candidate(0.8, 0.0),
        "b": candidate(0.8, 0.9),
        "c": candidate(0.7, 0.95),
    }
    choice = choose(scores, 3)
    assert choice["candidate"] == "b"
    assert choice["refused"] == []


def test_choose_refuses_what_is_not_safely_above_065():
    # 3 standard errors of 5,000 images are 0.0202.
    scores = {"a": candidate(0.8, 0.0), "b": candidate(0.67, 0.99)}
    assert scores["b"]["score"] > scores["a"]["score"]
    choice = choose(scores, 3)
    assert choice["candidate"] == "a"
    assert choice["refused"] == ["b"]


def test_choose_fails_when_none_is_safe():
    with pytest.raises(UserError, match=r"0\.6600 on 5,000 validation images"):
        choose({"a": candidate(0.66, 0.9), "b": candidate(0.5, 0.95)}, 3)


def test_margin_shrinks_with_the_number_of_images():
    assert least_safe_accuracy(5000, 3) == pytest.approx(0.67024, abs=1e-5)
    assert least_safe_accuracy(500_000, 3) == pytest.approx(0.652024, abs=1e-5)
    assert least_safe_accuracy(100, 0) == 0.65


def test_of_equal_scores_the_sparser_is_chosen():
    dense, sparse = (
        {"images": 5000, "accuracy": a, "sparsity": s, "score": 0.85}
        for a, s in ((0.9, 0.8), (0.8, 0.9))
    )
    assert choose({"a": dense, "b": sparse}, 3)["candidate"] == "b"
    assert choose({"b": sparse, "a": dense}, 3)["candidate"] == "b"


def test_the_choice_says_what_it_rests_on():
    scores = {"a": candidate(0.8, 0.9), "b": candidate(0.66, 0.99)}
    choice = choose(scores, 3)
    assert choice["validation"] == scores["a"]
    assert choice["least_accuracy"] == least_safe_accuracy(5000, 3)
    assert choice["reason"] == (
        "best validation score (0.8500) of 1 candidates with a validation accuracy "
        "above 0.6702"
    )

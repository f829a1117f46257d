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


FAST = {
    "a": {**candidate(0.8, 0.9), "multiply_adds": 500},
    "b": {**candidate(0.75, 0.98), "multiply_adds": 200},
    "c": {**candidate(0.66, 0.99), "multiply_adds": 1},  # not safe
    "d": {**candidate(0.76, 0.98), "multiply_adds": 200},
}


def choose_fast(accuracy: float) -> dict:
    return choose(FAST, 3, objective="multiply_adds", accuracy=accuracy)


def test_the_fewest_multiply_adds_above_an_accuracy_are_chosen():
    choice = choose_fast(0)
    assert choice["candidate"] == "d"  # of equal ones the better score's
    assert choice["refused"] == ["c"]
    assert choice["objective"] == "multiply_adds"
    assert choice["reason"] == (
        "fewest multiply-adds (200 for an image) of 3 candidates with a validation "
        "accuracy above 0.6702"
    )
    choice = choose_fast(0.76)  # it must be exceeded
    assert choice["candidate"] == "a"
    assert choice["refused"] == ["b", "c", "d"]
    assert choice["least_accuracy"] == 0.76


def test_an_accuracy_that_no_candidate_has_is_named_with_its_key():
    with pytest.raises(UserError) as caught:
        choose_fast(0.9)
    assert str(caught.value) == (
        "selection: accuracy: no candidate is above 0.9: the best, a, has 0.8000 on "
        "5,000 validation images, expected more than 0.9000; lower it, train longer or "
        "prune less"
    )


def test_the_best_score_may_be_asked_for_above_an_accuracy():
    assert choose(FAST, 3)["candidate"] == "d"
    assert choose(FAST, 3, accuracy=0.77)["candidate"] == "a"


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

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from shears.evaluation.paired import (
    ERRORS,
    Outcomes,
    PairedDifference,
    compare,
    compare_methods,
    describe,
    judge,
    measure_outcomes,
)

VALUES = st.floats(-10, 10, width=32)
SHAPES = st.tuples(st.integers(1, 4), st.integers(2, 12))


def tables(count: int):
    """Several tables of the same shape: seeds, images."""
    return SHAPES.flatmap(
        lambda shape: st.tuples(
            *(arrays.arrays(np.float64, shape, elements=VALUES) for _ in range(count))
        )
    )


@given(tables(2))
def test_the_difference_turns_its_sign_with_the_methods(pair):
    there, back = compare(*pair), compare(*pair[::-1])
    assert there.mean == pytest.approx(-back.mean, abs=1e-12)
    assert there.standard_error == pytest.approx(back.standard_error, abs=1e-9)


@given(tables(1))
def test_a_method_does_not_differ_from_itself(only):
    found = compare(*only, *only)
    assert (found.mean, found.standard_error) == (0, 0)
    assert judge(found, more_is_better=True) == "not decided"


@given(tables(2), VALUES, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_a_constant_shifts_the_mean_only(pair, shift, rng):
    first, other = pair
    found = compare(first, other)
    seeds = rng.sample(range(len(first)), len(first))
    images = rng.sample(range(first.shape[1]), first.shape[1])
    moved = compare(first[seeds][:, images], other[seeds][:, images] + shift)
    assert moved.mean == pytest.approx(found.mean + shift, abs=1e-9)
    assert moved.standard_error == pytest.approx(found.standard_error, abs=1e-6)
    assert (found.seeds, found.images) == first.shape


@given(tables(2))
def test_what_images_share_cancels(pair):
    first, other = pair
    shared = np.linspace(-100, 100, first.shape[1])  # some images are harder
    found, shifted = compare(first, other), compare(first + shared, other + shared)
    assert shifted.mean == pytest.approx(found.mean, abs=1e-9)
    assert shifted.standard_error == pytest.approx(found.standard_error, abs=1e-6)


@given(tables(2))
def test_one_seeds_error_is_that_of_a_paired_t_test(pair):
    first, other = (table[:1] for table in pair)
    found = compare(first, other)
    differences = (other - first)[0]
    assert found.mean == pytest.approx(differences.mean(), abs=1e-12)
    assert found.standard_error == pytest.approx(stats.sem(differences), abs=1e-9)


@given(tables(2))
def test_the_error_is_at_least_that_of_the_images(pair):
    first, other = pair
    least = stats.sem((other - first).mean(0))
    assert compare(first, other).standard_error >= least - 1e-9


@pytest.mark.parametrize("seed_spread", [0, 0.005, 0.01, 0.02, 0.1])
@pytest.mark.parametrize(("seeds", "most"), [(2, 0.16), (3, 0.11), (5, 0.09)])
def test_two_methods_that_do_not_differ_are_seldom_told_apart(seeds, most, seed_spread):
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(1000):
        differences = seed_spread * rng.normal(size=(seeds, 1))
        differences = differences + 0.3 * rng.normal(size=(seeds, 1000))
        found = compare(np.zeros_like(differences), differences)
        verdicts.append(judge(found, more_is_better=True))
    assert np.mean([verdict != "not decided" for verdict in verdicts]) < most


def test_the_error_is_the_spread_over_other_images_and_other_seeds():
    rng = np.random.default_rng(0)
    seeds, images = 3, 40
    found = []
    for _ in range(2000):
        differences = (
            0.3 * rng.normal(size=(seeds, 1))
            + 2.0 * rng.normal(size=(1, images))
            + 1.0 * rng.normal(size=(seeds, images))
        )
        found.append(compare(np.zeros_like(differences), differences))
    truth = math.sqrt(0.3**2 / seeds + 2.0**2 / images + 1 / (seeds * images))
    assert np.std([one.mean for one in found]) == pytest.approx(truth, rel=0.05)
    estimate = math.sqrt(np.mean([one.standard_error**2 for one in found]))
    assert estimate == pytest.approx(truth, rel=0.05)


@given(VALUES, st.floats(0, 5), st.booleans())
def test_a_verdict_needs_two_standard_errors_and_knows_which_way_is_better(
    mean, error, more_is_better
):
    verdict = judge(PairedDifference(mean, error, 1, 9), more_is_better=more_is_better)
    if abs(mean) <= ERRORS * error:
        assert verdict == "not decided"
    else:
        assert verdict == ("better" if (mean > 0) == more_is_better else "worse")


@given(
    arrays.arrays(np.float32, (5, 10), elements=st.floats(-1e4, 1e4, width=32)),
    st.lists(st.integers(0, 9), min_size=5, max_size=5),
)
def test_outcomes_are_the_cross_entropy_and_whether_the_label_is_largest(
    logits, labels
):
    labels = np.array(labels)
    losses, correct = measure_outcomes(logits, labels)
    wide = logits.astype(np.float64)
    expected = np.logaddexp.reduce(wide, axis=1) - wide[np.arange(5), labels]
    np.testing.assert_allclose(losses, expected, atol=1e-9)
    assert (losses >= -1e-9).all()
    np.testing.assert_array_equal(correct, logits.argmax(1) == labels)


def outcomes(loss: float, accuracy: float, images: int = 100) -> Outcomes:
    rng = np.random.default_rng(round(1000 * loss))
    correct = np.arange(images) < accuracy * images
    return Outcomes(loss + 0.01 * rng.normal(size=images), correct.astype(float))


def test_each_method_is_compared_with_the_first_in_both_measures():
    methods = {
        "lamp": [outcomes(0.50, 0.8), outcomes(0.52, 0.8)],
        "mixed": [outcomes(0.40, 0.8), outcomes(0.42, 0.8)],
        "worse": [outcomes(0.70, 0.5), outcomes(0.72, 0.5)],
    }
    rows = compare_methods(methods)
    assert [(r["method"], r["measure"], r["verdict"]) for r in rows] == [
        ("mixed", "cross_entropy", "better"),
        ("mixed", "accuracy", "not decided"),
        ("worse", "cross_entropy", "worse"),
        ("worse", "accuracy", "worse"),
    ]
    assert {row["against"] for row in rows} == {"lamp"}
    assert {(row["seeds"], row["images"]) for row in rows} == {(2, 100)}
    assert rows[0]["difference"] == pytest.approx(rows[0]["other"] - rows[0]["first"])
    text = describe(rows)
    assert "against lamp" in text and "100 validation images, 2 seeds" in text
    assert "over the draw of images and of seeds" in text
    assert len(text.splitlines()) == 2 + len(rows)


def test_with_one_seed_the_error_says_nothing_of_others():
    rows = compare_methods(
        {"lamp": [outcomes(0.5, 0.8)], "mixed": [outcomes(0.4, 0.8)]}
    )
    assert {row["covers"] for row in rows} == {"images"}
    assert "1 seed; ± is a standard error, over the draw of images, not" in describe(
        rows
    )

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.model.architecture import KERNEL_SIZES, LAYERS, PARAMETERS
from shears.pruning.allocation import (
    allocate,
    count_by_scores,
    distribute,
    lamp_scores,
    score_units,
)
from shears.pruning.masks import zeros_for
from tests.conftest import make_parameters
from tests.unit.pruning.common import (
    ALLOCATIONS,
    BIASES,
    DENSITIES,
    magnitude,
    mask_of,
)


def test_global_prunes_the_smallest_of_all_kernels():
    parameters = make_parameters(1)
    mask = mask_of(parameters, 900_000, "global")
    values, ones = (
        np.concatenate([kernel.ravel() for kernel in whole.kernels])
        for whole in (magnitude(parameters), mask)
    )
    assert values[ones == 0].max() <= values[ones == 1].min()


def densities(allocation: str, sparsity: float = 0.98) -> list[float]:
    mask = mask_of(make_parameters(1), zeros_for(sparsity), allocation)
    return [float(kernel.mean()) for kernel in mask.kernels]


def test_uniform_keeps_the_same_share_of_each_kernel():
    budget = PARAMETERS - zeros_for(0.98) - BIASES
    expected = budget / sum(KERNEL_SIZES)
    for result, size in zip(densities("uniform"), KERNEL_SIZES, strict=True):
        assert abs(result - expected) <= 1 / size


def test_erk_is_in_proportion_to_the_sum_over_the_product_of_the_sides():
    result = densities("erk")
    shapes = [layer.kernel for layer in LAYERS]
    ratios = [
        density * np.prod(shape) / sum(shape)
        for density, shape in zip(result, shapes, strict=True)
    ]
    np.testing.assert_allclose(ratios, ratios[0], rtol=0.01)


def test_a_set_ratio_is_kept_and_none_above_one():
    result = np.array(densities("ratio"))
    np.testing.assert_allclose(result / result[0], np.array(DENSITIES) / 70, rtol=0.05)
    full = densities("ratio", 0.5)
    assert full[0] == full[1] == full[2] == full[5] == 1
    assert 0 < full[4] < 1


@settings(max_examples=100, deadline=None)
@given(
    bounds=st.lists(
        st.tuples(st.integers(0, 1000), st.integers(0, 1000)).map(sorted),
        min_size=1,
        max_size=8,
    ),
    share=st.floats(0, 1),
    data=st.data(),
)
def test_a_budget_is_distributed_exactly_and_in_proportion(bounds, share, data):
    least, room = (list(column) for column in zip(*bounds, strict=True))
    shares = [data.draw(st.floats(0.01, 100)) for _ in room]
    budget = sum(least) + int(share * (sum(room) - sum(least)))
    counts = distribute(budget, room, shares, least)
    assert sum(counts) == budget
    columns = list(zip(least, counts, room, shares, strict=True))
    assert all(low <= count <= high for low, count, high, _ in columns)
    # Rounding apart, the factor is the same for all that are between their bounds.
    lowest = max(((c - 1) / s for low, c, _, s in columns if c > low), default=0)
    highest = min(
        ((c + 1) / s for _, c, high, s in columns if c < high), default=np.inf
    )
    assert lowest <= highest * (1 + 1e-9)


def test_a_floor_takes_from_the_others_in_proportion():
    assert distribute(100, [50, 500, 500], [1, 1, 2], [40, 0, 0]) == [40, 20, 40]


def test_lamp_by_hand():
    # Squares 1, 4, 9: 1/14, 4/13, 9/9.
    scores = lamp_scores(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(scores, [1 / 14, 4 / 13, 1], rtol=1e-12)


def test_lamp_counts_by_hand():
    # Scores 1/14, 4/13 and 1 in one kernel, 1/2 and 1 in the other.
    kernels = [np.array([[3.0, 1.0], [-1.0, 2.0]]), np.array([5.0, 5.0])]
    counts = [
        count_by_scores(lamp_scores, kernels, budget, [0, 0]) for budget in range(6)
    ]
    assert counts == [[0, 0], [0, 1], [1, 1], [1, 2], [2, 2], [3, 2]]
    assert count_by_scores(lamp_scores, kernels, 3, [2, 0]) == [2, 1]


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_units_are_scored_in_the_order_of_their_saliency(allocation):
    rng = np.random.default_rng(0)
    saliencies = [rng.random(size) for size in (5, 3, 1)]
    scores = score_units(allocation, saliencies, DENSITIES)
    for saliency, score in zip(saliencies, scores, strict=True):
        assert (np.diff(score[np.argsort(saliency)]) >= 0).all()


def test_units_are_scored_by_hand():
    # Squares 1, 4, 9: 1/14, 4/13, 9/9. A single unit scores 1.
    (lamp, single) = score_units("lamp", [np.array([2.0, 1.0, 3.0]), np.ones(1)])
    np.testing.assert_allclose(lamp, [4 / 13, 1 / 14, 1], rtol=1e-12)
    assert single == [1]
    # The second most salient of four stays while half of them stay.
    (uniform,) = score_units("uniform", [np.array([4.0, 3.0, 2.0, 1.0])])
    np.testing.assert_allclose(uniform, [4, 2, 4 / 3, 1])


def test_lamp_spares_a_layer_of_small_weights_where_global_empties_it():
    parameters, zeros = make_parameters(3), zeros_for(0.95)
    parameters.kernels[0][...] *= 1e-3
    first = {a: mask_of(parameters, zeros, a).kernels[0] for a in ("global", "lamp")}
    assert first["global"].sum() == 1  # the last weight is spared
    assert first["lamp"].mean() > 0.2


# Saliencies of small kernels; what is already pruned is negative.
weights = st.one_of(st.just(-1.0), st.integers(1, 9).map(float))
small_kernels = st.lists(
    st.lists(weights, min_size=1, max_size=12).map(np.array), min_size=6, max_size=6
)


@given(kernels=small_kernels)
def test_lamp_scores_rise_with_saliency_to_one_in_each_kernel(kernels):
    for saliency in kernels:
        ordered = np.sort(saliency[saliency > 0])
        scores = lamp_scores(ordered)
        assert np.all(np.diff(scores) > 0)
        assert scores[-1:].tolist() == [1.0] * min(1, len(ordered))


@given(kernels=small_kernels, share=st.floats(0, 1), data=st.data())
def test_every_allocation_keeps_the_budget_within_its_bounds(kernels, share, data):
    room = [int((kernel > 0).sum()) for kernel in kernels]
    least = [data.draw(st.integers(0, most)) for most in room]
    budget = sum(least) + int(share * (sum(room) - sum(least)))
    for allocation in ALLOCATIONS:
        counts = allocate(allocation, kernels, budget, least, DENSITIES)
        assert sum(counts) == budget
        for low, count, high in zip(least, counts, room, strict=True):
            assert low <= count <= high


@given(kernels=small_kernels, share=st.floats(0, 1))
def test_no_weight_is_kept_whose_score_is_below_that_of_a_pruned_one(kernels, share):
    budget = int(share * sum(int((kernel > 0).sum()) for kernel in kernels))
    counts = allocate("global", kernels, budget, [0] * 6)
    ordered = [np.sort(kernel[kernel > 0]) for kernel in kernels]
    pairs = list(zip(ordered, counts, strict=True))
    pruned = [values[: len(values) - count] for values, count in pairs]
    kept = [values[len(values) - count :] for values, count in pairs]
    most, least = np.concatenate(pruned), np.concatenate(kept)
    assert most.max(initial=0) <= least.min(initial=10)

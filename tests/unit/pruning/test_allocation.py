import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.model.architecture import KERNEL_SIZES, LAYERS, PARAMETERS
from shears.pruning.allocation import (
    distribute,
    lamp_scores,
    proportional_scores,
    score_function,
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
    room=st.lists(st.integers(0, 1000), min_size=1, max_size=8),
    share=st.floats(0, 1),
    data=st.data(),
)
def test_a_budget_is_distributed_exactly_and_fits(room, share, data):
    shares = [data.draw(st.floats(0.01, 100)) for _ in room]
    budget = int(share * sum(room))
    counts = distribute(budget, room, shares)
    assert sum(counts) == budget
    assert all(0 <= count <= most for count, most in zip(counts, room, strict=True))


def test_lamp_by_hand():
    # Squares 1, 4, 9 in order of magnitude: 1/14, 4/13, 9/9.
    scores = lamp_scores([np.array([[3.0, 1.0], [-1.0, 2.0]])], 0)[0]
    np.testing.assert_allclose(scores, [[1, 1 / 14], [0, 4 / 13]], rtol=1e-12)


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
    for saliency, scores in zip(kernels, lamp_scores(kernels, 0), strict=True):
        kept = saliency > 0
        assert not scores[~kept].any()
        if kept.any():
            assert scores.max() == 1
        # Among equals, the first in order of index has the smaller score.
        ordered = scores[kept][np.argsort(saliency[kept], kind="stable")]
        assert np.all(np.diff(ordered) > 0)


@given(kernels=small_kernels, share=st.floats(0, 1), data=st.data())
def test_proportional_scores_mark_as_many_as_the_budget_and_the_most_salient(
    kernels, share, data
):
    shares = [data.draw(st.floats(0.01, 100)) for _ in kernels]
    budget = int(share * sum(int((kernel > 0).sum()) for kernel in kernels))
    marked = proportional_scores(shares)(kernels, budget)
    assert sum(scores.sum() for scores in marked) == budget
    for saliency, scores in zip(kernels, marked, strict=True):
        assert set(np.unique(scores)) <= {0, 1}
        assert not scores[saliency < 0].any()
        if scores.any():
            least = saliency[scores == 1].min()
            assert saliency[scores == 0].max(initial=-1) <= least


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_every_allocation_scores_in_the_shapes_of_the_kernels(allocation):
    kernels = [np.abs(kernel) for kernel in make_parameters(1).kernels]
    scores = score_function(allocation, DENSITIES)(kernels, 1000)
    assert [score.shape for score in scores] == [kernel.shape for kernel in kernels]
    assert all(score.min() >= 0 for score in scores)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.architecture import KERNELS, PARAMETERS, SHAPES, flatten, unflatten
from shears.errors import UserError
from shears.pruning import (
    ALLOCATIONS,
    lamp_scores,
    magnitude_scores,
    make_mask,
    zeros_for,
)
from tests.conftest import make_weights

BIASES = sum(int(np.prod(s)) for i, s in enumerate(SHAPES) if i not in KERNELS)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    sparsity=st.floats(0, 1),
    before=st.floats(0, 0.9),
    levels=st.sampled_from([None, 3]),
    allocation=st.sampled_from(sorted(ALLOCATIONS)),
)
def test_mask_has_exactly_the_zeros_and_keeps_what_was_pruned(
    seed, sparsity, before, levels, allocation
):
    vector = flatten(make_weights(seed, zeros=before))
    if levels:  # few distinct values: ties everywhere
        vector = np.round(vector * 30) / 30
    zeros = max(zeros_for(sparsity), int((vector == 0).sum()))
    mask = make_mask(vector, zeros, allocation)
    assert mask.shape == (PARAMETERS,)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) <= {0, 1}
    assert (mask == 0).sum() == zeros
    assert not mask[vector == 0].any()


def test_magnitude_cuts_the_smallest_of_all_kernels():
    weights = make_weights(1)
    mask = make_mask(flatten(weights), 900_000, "magnitude")
    kernel_values = flatten(weights[::2])
    kernel_mask = flatten(unflatten(mask)[::2])
    cut, kept = np.abs(kernel_values)[kernel_mask == 0], np.abs(kernel_values)
    assert cut.max() <= kept[kernel_mask == 1].min()


def test_ties_are_cut_in_order_of_index():
    mask = make_mask(np.ones(PARAMETERS, np.float32), 10, "magnitude")
    assert not mask[:10].any()
    assert mask[10:].all()


def test_biases_go_last():
    vector = flatten(make_weights(2))
    for allocation in ALLOCATIONS:
        masks = unflatten(make_mask(vector, PARAMETERS - BIASES, allocation))
        assert all(mask.all() for mask in masks[1::2])
        assert not any(mask.any() for mask in masks[::2])


def test_of_biases_the_smallest_go_first():
    weights = make_weights(2)
    for i, bias in enumerate(weights[1::2]):
        bias[:] = 0.1 * (6 - i)  # the last layer's are the smallest
    masks = unflatten(
        make_mask(flatten(weights), PARAMETERS - BIASES + 10, "magnitude")
    )
    assert [int(mask.sum()) for mask in masks[1::2]] == [32, 32, 64, 64, 512, 0]


def test_denormals_count_as_zero():
    vector = flatten(make_weights(2))
    vector[-3:] = 1e-40
    mask = make_mask(vector, 3, "lamp")
    assert not mask[-3:].any()


def test_lamp_by_hand():
    # Squares 1, 4, 9 in order of magnitude: 1/14, 4/13, 9/9.
    scores = lamp_scores([np.array([[3.0, -1.0], [0.0, 2.0]], np.float32)])[0]
    np.testing.assert_allclose(scores, [[1, 1 / 14], [0, 4 / 13]], rtol=1e-12)


def test_lamp_spares_a_layer_of_small_weights_where_magnitude_empties_it():
    weights = make_weights(3)
    weights[0] *= 1e-3
    vector, zeros = flatten(weights), zeros_for(0.95)
    first = {a: unflatten(make_mask(vector, zeros, a))[0] for a in ALLOCATIONS}
    assert not first["magnitude"].any()
    assert first["lamp"].mean() > 0.2


def test_magnitude_scores_are_float64_of_the_same_shape():
    scores = magnitude_scores(make_weights(4))
    assert [s.shape for s in scores] == list(SHAPES)
    assert all(s.dtype == np.float64 for s in scores)


def test_fewer_zeros_than_there_are_is_refused():
    vector = flatten(make_weights(5, zeros=0.5))
    with pytest.raises(UserError, match="zero already"):
        make_mask(vector, 1000, "lamp")


def test_zeros_for_rounds():
    assert zeros_for(0.98) == 1_225_841
    assert zeros_for(0) == 0
    assert zeros_for(1) == PARAMETERS == 1_250_858

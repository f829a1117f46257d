from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shears.model.architecture import KERNELS, PARAMETERS, SHAPES
from shears.model.input_normalisation import Pixels, fold
from shears.model.parameters import flatten, unflatten
from shears.pruning.dead_units import remove_dead_units
from shears.pruning.masks import (
    ALLOCATIONS,
    SALIENCIES,
    Pruner,
    exchange,
    make_mask,
    rank_by_lamp,
    saliency,
    share_out,
    shuffle_mask,
    zeros_for,
)
from shears.pruning.schedule import MaskUpdate
from shears.runtime.errors import UserError
from tests.conftest import make_weights

DENSITIES = (70, 35, 23, 15, 0.7, 45)
RULES = [*sorted(ALLOCATIONS), "ratio"]
KERNEL_SIZES = [int(np.prod(SHAPES[i])) for i in KERNELS]
BIASES = sum(int(np.prod(s)) for i, s in enumerate(SHAPES) if i not in KERNELS)


def mask_of(vector, zeros, allocation="lamp", **options) -> np.ndarray:
    return make_mask(vector, zeros, allocation, densities=DENSITIES, **options)


def gradient_of(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=PARAMETERS).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    sparsity=st.floats(0, 1),
    before=st.floats(0, 0.9),
    levels=st.sampled_from([None, 3]),
    allocation=st.sampled_from(RULES),
    kind=st.sampled_from(SALIENCIES),
)
def test_mask_has_exactly_the_zeros_and_keeps_what_was_pruned(
    seed, sparsity, before, levels, allocation, kind
):
    vector = flatten(make_weights(seed, zeros=before))
    if levels:  # few distinct values: ties everywhere
        vector = np.round(vector * 30) / 30
    zeros = max(zeros_for(sparsity), int((vector == 0).sum()))
    scores = saliency(vector, kind, gradient=lambda: gradient_of(seed), seed=seed)
    mask = mask_of(vector, zeros, allocation, scores=scores)
    assert mask.shape == (PARAMETERS,)
    assert mask.dtype == np.float32
    assert set(np.unique(mask)) <= {0, 1}
    assert (mask == 0).sum() == zeros
    assert not mask[vector == 0].any()
    alive = [array.any() for array in unflatten(vector)[::2]]
    if PARAMETERS - zeros >= BIASES + len(alive):
        kept = [array.any() for array in unflatten(mask)[::2]]
        assert kept == alive  # no empty layer


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 99),
    sparsity=st.floats(0.5, 0.98),
    floor=st.floats(0, 0.015),
    allocation=st.sampled_from(RULES),
    kind=st.sampled_from(SALIENCIES),
)
def test_no_kernel_falls_below_the_floor(seed, sparsity, floor, allocation, kind):
    vector = flatten(make_weights(seed))
    scores = saliency(vector, kind, gradient=lambda: gradient_of(seed), seed=seed)
    zeros = zeros_for(sparsity)
    mask = mask_of(vector, zeros, allocation, scores=scores, floor=floor)
    assert (mask == 0).sum() == zeros
    for array in unflatten(mask)[::2]:
        assert array.sum() >= floor * array.size


def test_a_floor_that_needs_more_than_stays_is_refused():
    vector = flatten(make_weights(0))
    with pytest.raises(UserError, match="a floor of 0.1 keeps .* lower the floor"):
        make_mask(vector, zeros_for(0.95), floor=0.1)


@pytest.mark.parametrize("allocation", RULES)
def test_within_a_kernel_the_least_salient_go(allocation):
    vector = flatten(make_weights(1))
    masks = unflatten(mask_of(vector, 900_000, allocation))
    for values, mask in zip(unflatten(np.abs(vector))[::2], masks[::2], strict=True):
        assert not mask.all() or allocation in ("ratio", "erk", "global")
        if 0 < mask.sum() < mask.size:
            assert values[mask == 0].max() <= values[mask == 1].min()


def test_global_cuts_the_smallest_of_all_kernels():
    weights = make_weights(1)
    mask = mask_of(flatten(weights), 900_000, "global")
    kernel_values = flatten(weights[::2])
    kernel_mask = flatten(unflatten(mask)[::2])
    cut, kept = np.abs(kernel_values)[kernel_mask == 0], np.abs(kernel_values)
    assert cut.max() <= kept[kernel_mask == 1].min()


def densities(allocation: str, sparsity: float = 0.98) -> list[float]:
    mask = mask_of(flatten(make_weights(1)), zeros_for(sparsity), allocation)
    return [float(array.mean()) for array in unflatten(mask)[::2]]


def test_uniform_keeps_the_same_share_of_each_kernel():
    budget = PARAMETERS - zeros_for(0.98) - BIASES
    expected = budget / sum(KERNEL_SIZES)
    for found, size in zip(densities("uniform"), KERNEL_SIZES, strict=True):
        assert abs(found - expected) <= 1 / size


def test_erk_is_in_proportion_to_the_sum_over_the_product_of_the_sides():
    found = densities("erk")
    shapes = [SHAPES[i] for i in KERNELS]
    ratios = [
        density * np.prod(shape) / sum(shape)
        for density, shape in zip(found, shapes, strict=True)
    ]
    np.testing.assert_allclose(ratios, ratios[0], rtol=0.01)


def test_a_set_ratio_is_kept_and_none_above_one():
    found = np.array(densities("ratio"))
    np.testing.assert_allclose(found / found[0], np.array(DENSITIES) / 70, rtol=0.05)
    full = densities("ratio", 0.5)
    assert full[0] == full[1] == full[2] == full[5] == 1
    assert 0 < full[4] < 1


@settings(max_examples=100, deadline=None)
@given(
    room=st.lists(st.integers(0, 1000), min_size=1, max_size=8),
    share=st.floats(0, 1),
    data=st.data(),
)
def test_what_is_shared_out_is_all_and_fits(room, share, data):
    shares = [data.draw(st.floats(0.01, 100)) for _ in room]
    budget = int(share * sum(room))
    counts = share_out(budget, room, shares)
    assert sum(counts) == budget
    assert all(0 <= count <= most for count, most in zip(counts, room, strict=True))


def test_first_order_saliency_is_the_change_of_the_loss():
    vector, slope = flatten(make_weights(1)), gradient_of(1)
    scores = saliency(vector, "first_order", gradient=lambda: slope)
    np.testing.assert_allclose(scores, np.abs(vector.astype(float) * slope))


def test_random_saliency_follows_its_seed():
    vector = flatten(make_weights(1))
    one, same, other = (saliency(vector, "random", seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 99), share=st.floats(0, 0.9))
@example(seed=1, share=0.8999999999999999)  # of 28,640 kept: one less than in float32
def test_exchanged_weights_are_as_many_in_each_kernel(seed, share):
    vector, slope = flatten(make_weights(seed)), gradient_of(seed)
    mask = make_mask(vector, zeros_for(0.95))
    new = exchange(mask, np.abs(vector), slope, share)
    for i, (a, b) in enumerate(zip(unflatten(mask), unflatten(new), strict=True)):
        assert a.sum() == b.sum()
        grown = int(((a == 0) & (b == 1)).sum())
        expected = min(int(share * np.count_nonzero(a)), np.count_nonzero(a == 0))
        assert grown == (expected if i in KERNELS else 0)


def test_the_largest_gradients_grow_and_the_smallest_weights_go():
    vector, slope = flatten(make_weights(3)), gradient_of(3)
    mask = make_mask(vector, zeros_for(0.95))
    new = exchange(mask, np.abs(vector), slope, 0.3)
    parts = (mask, new, np.abs(vector), np.abs(slope))
    for a, b, size, steep in zip(*[unflatten(p)[::2] for p in parts], strict=True):
        grown, gone = (a == 0) & (b == 1), (a == 1) & (b == 0)
        assert grown.any() and gone.any()
        assert steep[grown].min() >= steep[(a == 0) & (b == 0)].max(initial=0)
        assert size[gone].max() <= size[(a == 1) & (b == 1)].min()


def test_what_has_no_gradient_is_not_grown():
    vector = flatten(make_weights(3))
    mask = make_mask(vector, zeros_for(0.95))
    slope = np.zeros_like(vector)
    np.testing.assert_array_equal(exchange(mask, np.abs(vector), slope, 0.3), mask)


def test_a_shuffled_mask_has_as_many_ones_in_each_array():
    mask = make_mask(flatten(make_weights(3)), zeros_for(0.95))
    new = shuffle_mask(mask, 1, 1)
    for a, b in zip(unflatten(mask), unflatten(new), strict=True):
        assert a.sum() == b.sum()
    assert (new != mask).mean() > 0.05
    assert (shuffle_mask(mask, 2, 1) != new).any()


PRUNER = Pruner(
    saliency="magnitude",
    allocation="lamp",
    densities=DENSITIES,
    floor=0.0,
    remove_dead_units=True,
    seed=0,
    folded=1,
)


@pytest.mark.parametrize("allocation", RULES)
def test_what_dead_units_had_is_given_back(allocation):
    weights = make_weights(4)
    weights[8][:, :300] *= 0.01  # dense units that a mask leaves without weights
    weights[2][..., :9] = 0  # channels that are dead already
    vector, zeros = flatten(weights), zeros_for(0.99)
    pruner = replace(PRUNER, allocation=allocation)
    new, mask = pruner(vector, lambda: gradient_of(0), MaskUpdate(zeros, 0.0))
    assert (mask == 0).sum() == zeros
    plain = replace(pruner, remove_dead_units=False)
    old, first = plain(vector, lambda: gradient_of(0), MaskUpdate(zeros, 0.0))

    def useless(kept) -> int:
        used = np.count_nonzero(flatten(remove_dead_units(unflatten(kept))))
        return PARAMETERS - zeros - used

    before, after = useless(old * first), useless(new * mask)
    assert before > 100  # there was something to give back
    if allocation == "lamp":
        assert after == 0
    # Where an allocation starves a kernel, each that is given back kills another.
    assert after < before / 2


@pytest.mark.parametrize("kind", SALIENCIES)
def test_a_mask_is_exact_after_an_exchange_too(kind):
    vector, zeros = flatten(make_weights(5)), zeros_for(0.97)
    pruner = replace(PRUNER, saliency=kind, remove_dead_units=False)
    _, mask = pruner(vector, lambda: gradient_of(0), MaskUpdate(zeros, 0.3))
    assert (mask == 0).sum() == zeros
    _, still = pruner(vector, lambda: gradient_of(0), MaskUpdate(zeros, 0.0))
    assert (mask != still).any()


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 99),
    sparsity=st.floats(0.9, 0.995),
    allocation=st.sampled_from(RULES),
    small=st.integers(1, 31),
    exchanged=st.sampled_from([0.0, 0.3]),
)
def test_folded_normalisation_leaves_the_zeros_of_the_mask(
    seed, sparsity, allocation, small, exchanged
):
    weights = make_weights(seed)
    weights[0][..., :small] *= 0.02  # units that may die, and weights to revive them
    weights[2][:, :, : small // 2] *= 0.02
    zeros = zeros_for(sparsity)
    pruner = replace(PRUNER, allocation=allocation)
    update = MaskUpdate(zeros, exchanged)
    vector, mask = pruner(flatten(weights), lambda: gradient_of(seed), update)
    pixels = Pixels(np.full(3, 0.47, np.float32), np.full(3, 0.25, np.float32))
    for ones in (mask, shuffle_mask(mask, seed, 1)):
        assert (ones == 0).sum() == zeros
        # What a mask keeps is trained: it is not zero.
        trained = np.where(ones == 1, np.where(vector == 0, 1e-3, vector), 0)
        assert (fold(trained.astype(np.float32), pixels) == 0).sum() == zeros


def test_ties_are_cut_in_order_of_index():
    mask = make_mask(np.ones(PARAMETERS, np.float32), 10, "global")
    assert not mask[1:11].any()  # the first is the kernel's one that is spared
    assert mask[0] and mask[11:].all()


def test_biases_go_last():
    vector = flatten(make_weights(2))
    for allocation in RULES:
        masks = unflatten(mask_of(vector, PARAMETERS - BIASES, allocation))
        assert all(mask.all() for mask in masks[1::2])
        assert not any(mask.any() for mask in masks[::2])


def test_of_biases_the_smallest_go_first():
    weights = make_weights(2)
    for i, bias in enumerate(weights[1::2]):
        bias[:] = 0.1 * (6 - i)  # the last layer's are the smallest
    masks = unflatten(make_mask(flatten(weights), PARAMETERS - BIASES + 10, "global"))
    assert [int(mask.sum()) for mask in masks[1::2]] == [32, 32, 64, 64, 512, 0]


def test_denormals_count_as_zero():
    vector = flatten(make_weights(2))
    vector[-3:] = 1e-40
    mask = make_mask(vector, 3, "lamp")
    assert not mask[-3:].any()


def test_lamp_by_hand():
    # Squares 1, 4, 9 in order of magnitude: 1/14, 4/13, 9/9.
    scores = rank_by_lamp([np.array([[3.0, 1.0], [-1.0, 2.0]])], 0)[0]
    np.testing.assert_allclose(scores, [[1, 1 / 14], [0, 4 / 13]], rtol=1e-12)


def test_lamp_spares_a_layer_of_small_weights_where_global_empties_it():
    weights = make_weights(3)
    weights[0] *= 1e-3
    vector, zeros = flatten(weights), zeros_for(0.95)
    first = {a: unflatten(make_mask(vector, zeros, a))[0] for a in ALLOCATIONS}
    assert first["global"].sum() == 1  # but for the last one
    assert first["lamp"].mean() > 0.2


def test_fewer_zeros_than_there_are_is_refused():
    vector = flatten(make_weights(5, zeros=0.5))
    with pytest.raises(UserError, match="zero already"):
        make_mask(vector, 1000, "lamp")


def test_zeros_for_rounds():
    assert zeros_for(0.98) == 1_225_841
    assert zeros_for(0) == 0
    assert zeros_for(1) == PARAMETERS == 1_250_858

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shears.model.architecture import PARAMETERS
from shears.model.input_normalisation import PixelStatistics, fold
from shears.model.parameters import Parameters
from shears.pruning.dead_units import remove_dead_units
from shears.pruning.mask_plan import MaskUpdate
from shears.pruning.masks import (
    MaskSettings,
    Pruner,
    drop_and_grow,
    make_mask,
    shuffle_mask,
    zeros_for,
)
from shears.pruning.saliency import compute_saliency
from shears.runtime.errors import UserError
from tests.conftest import make_parameters
from tests.unit.pruning.common import (
    ALLOCATIONS,
    BIASES,
    DENSITIES,
    GRANULARITIES,
    SALIENCIES,
    gradient_of,
    magnitude,
    mask_of,
    second_moment_of,
    snapshot_of,
    zeros_in,
)


def saliency_of(parameters: Parameters, kind: str, seed: int) -> Parameters:
    return compute_saliency(
        parameters,
        kind,
        gradient=lambda: gradient_of(seed),
        second_moment=lambda: second_moment_of(seed + 1),
        seed=seed,
    )


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 99),
    sparsity=st.floats(0, 1),
    before=st.floats(0, 0.9),
    levels=st.sampled_from([None, 3]),
    allocation=st.sampled_from(ALLOCATIONS),
    kind=st.sampled_from(SALIENCIES),
    granularity=st.sampled_from(GRANULARITIES),
)
def test_mask_has_exactly_the_zeros_and_keeps_what_was_pruned(
    seed, sparsity, before, levels, allocation, kind, granularity
):
    parameters = make_parameters(seed, zeros=before)
    if levels:  # few distinct values: ties everywhere
        parameters = Parameters(np.round(parameters.vector * 30) / 30)
    zeros = max(zeros_for(sparsity), zeros_in(parameters))
    saliency = saliency_of(parameters, kind, seed)
    mask = mask_of(
        parameters, zeros, allocation, saliency=saliency, granularity=granularity
    )
    assert mask.vector.dtype == np.float32
    assert set(np.unique(mask.vector)) <= {0, 1}
    assert zeros_in(mask) == zeros
    assert not mask.vector[parameters.vector == 0].any()
    alive = [kernel.any() for kernel in parameters.kernels]
    if PARAMETERS - zeros >= BIASES + len(alive):
        kept = [kernel.any() for kernel in mask.kernels]
        assert kept == alive  # no empty layer


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 99),
    sparsity=st.floats(0.5, 0.98),
    floor=st.floats(0, 0.015),
    allocation=st.sampled_from(ALLOCATIONS),
    kind=st.sampled_from(SALIENCIES),
    granularity=st.sampled_from(GRANULARITIES),
)
def test_no_kernel_falls_below_the_floor(
    seed, sparsity, floor, allocation, kind, granularity
):
    parameters = make_parameters(seed)
    saliency = saliency_of(parameters, kind, seed)
    zeros = zeros_for(sparsity)
    mask = mask_of(
        parameters,
        zeros,
        allocation,
        saliency=saliency,
        floor=floor,
        granularity=granularity,
    )
    assert zeros_in(mask) == zeros
    for kernel in mask.kernels:
        assert kernel.sum() >= floor * kernel.size


def test_a_floor_that_needs_more_than_stays_is_refused():
    with pytest.raises(UserError, match="a floor of 0.1 keeps .* lower the floor"):
        make_mask(make_parameters(0), zeros_for(0.95), floor=0.1)


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_within_a_kernel_the_least_salient_are_pruned(allocation):
    parameters = make_parameters(1)
    whole = mask_of(parameters, 900_000, allocation)
    pairs = zip(magnitude(parameters).kernels, whole.kernels, strict=True)
    for values, mask in pairs:
        assert not mask.all() or allocation != "lamp"
        if 0 < mask.sum() < mask.size:
            assert values[mask == 0].max() <= values[mask == 1].min()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 99), share=st.floats(0, 0.9))
@example(seed=1, share=0.8999999999999999)  # of 28,640 kept: one less than in float32
def test_as_many_weights_grow_as_drop_in_each_kernel(seed, share):
    parameters = make_parameters(seed)
    mask = make_mask(parameters, zeros_for(0.95))
    new = drop_and_grow(mask, magnitude(parameters), gradient_of(seed), share)
    for a, b in zip(mask.kernels, new.kernels, strict=True):
        assert a.sum() == b.sum()
        grown = int(((a == 0) & (b == 1)).sum())
        expected = min(int(share * np.count_nonzero(a)), np.count_nonzero(a == 0))
        assert grown == expected
    for a, b in zip(mask.biases, new.biases, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_largest_gradients_grow_and_the_smallest_weights_drop():
    parameters, slope = make_parameters(3), gradient_of(3)
    mask = make_mask(parameters, zeros_for(0.95))
    new = drop_and_grow(mask, magnitude(parameters), slope, 0.3)
    parts = (mask, new, magnitude(parameters), magnitude(slope))
    for a, b, size, steep in zip(*[part.kernels for part in parts], strict=True):
        grown, gone = (a == 0) & (b == 1), (a == 1) & (b == 0)
        assert grown.any() and gone.any()
        assert steep[grown].min() >= steep[(a == 0) & (b == 0)].max(initial=0)
        assert size[gone].max() <= size[(a == 1) & (b == 1)].min()


def test_a_weight_without_a_gradient_does_not_grow():
    parameters = make_parameters(3)
    mask = make_mask(parameters, zeros_for(0.95))
    slope = Parameters(np.zeros_like(parameters.vector))
    new = drop_and_grow(mask, magnitude(parameters), slope, 0.3)
    np.testing.assert_array_equal(new.vector, mask.vector)


def test_a_shuffled_mask_has_as_many_ones_in_each_array():
    mask = make_mask(make_parameters(3), zeros_for(0.95))
    new = shuffle_mask(mask, 1, 1)
    for a, b in zip(mask.arrays, new.arrays, strict=True):
        assert a.sum() == b.sum()
    assert (new.vector != mask.vector).mean() > 0.05
    assert (shuffle_mask(mask, 2, 1).vector != new.vector).any()


def pruner_with(*, remove_dead_units: bool = True, **changes) -> Pruner:
    settings = MaskSettings(
        densities=DENSITIES, remove_dead_units=remove_dead_units, **changes
    )
    return Pruner(settings, seed=0, folded_layers=1)


def test_whole_units_leave_no_weight_without_use():
    parameters, zeros = make_parameters(4), zeros_for(0.98)
    parameters.kernels[1][..., :9] = 0  # channels that are dead already
    parameters.biases[1][:9] = 0
    pruner = pruner_with(granularity="unit")
    new, mask = pruner(snapshot_of(parameters, gradient_of(0)), MaskUpdate(zeros))
    kept = new.masked(mask)
    assert zeros_in(kept) == zeros
    assert zeros_in(remove_dead_units(kept)) == zeros


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_the_weights_of_dead_units_are_given_to_others(allocation):
    parameters, zeros = make_parameters(4), zeros_for(0.99)
    parameters.kernels[4][:, :300] *= 0.01  # units that a mask leaves without weights
    parameters.kernels[1][..., :9] = 0  # channels that are dead already
    pruner = pruner_with(allocation=allocation)
    new, mask = pruner(snapshot_of(parameters, gradient_of(0)), MaskUpdate(zeros))
    assert zeros_in(mask) == zeros
    plain = pruner_with(allocation=allocation, remove_dead_units=False)
    old, first = plain(snapshot_of(parameters, gradient_of(0)), MaskUpdate(zeros))

    def useless(kept: Parameters) -> int:
        used = np.count_nonzero(remove_dead_units(kept).vector)
        return PARAMETERS - zeros - used

    before, after = useless(old.masked(first)), useless(new.masked(mask))
    assert before > 100  # there was something to give away
    if allocation == "lamp":
        assert after == 0
    # Where an allocation starves a kernel, each weight it is given kills another unit.
    assert after < before / 2


@pytest.mark.parametrize("kind", SALIENCIES)
def test_a_mask_is_exact_after_drop_and_grow_too(kind):
    parameters, zeros = make_parameters(5), zeros_for(0.97)
    pruner = pruner_with(saliency=kind, remove_dead_units=False)
    snapshot = snapshot_of(
        parameters, gradient_of(0), second_moment=second_moment_of(1)
    )
    _, mask = pruner(snapshot, MaskUpdate(zeros, 0.3))
    assert zeros_in(mask) == zeros
    _, without = pruner(snapshot, MaskUpdate(zeros))
    assert (mask.vector != without.vector).any()


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 99),
    sparsity=st.floats(0.9, 0.995),
    allocation=st.sampled_from(ALLOCATIONS),
    small=st.integers(1, 31),
    drop_fraction=st.sampled_from([0.0, 0.3]),
    granularity=st.sampled_from(GRANULARITIES),
)
def test_folded_normalisation_leaves_the_zeros_of_the_mask(
    seed, sparsity, allocation, small, drop_fraction, granularity
):
    parameters = make_parameters(seed)
    # Units that may die, and weights that could revive them.
    parameters.kernels[0][..., :small] *= 0.02
    parameters.kernels[1][:, :, : small // 2] *= 0.02
    zeros = zeros_for(sparsity)
    pruner = pruner_with(allocation=allocation, granularity=granularity)
    update = MaskUpdate(zeros, drop_fraction if granularity == "weight" else 0)
    parameters, mask = pruner(snapshot_of(parameters, gradient_of(seed)), update)
    pixels = PixelStatistics(np.full(3, 0.47, "f4"), np.full(3, 0.25, "f4"))
    for ones in (mask, shuffle_mask(mask, seed, 1)):
        assert zeros_in(ones) == zeros
        # What a mask keeps is trained, so it is not zero.
        kept = np.where(parameters.vector == 0, 1e-3, parameters.vector)
        trained = Parameters((kept * ones.vector).astype(np.float32))
        assert zeros_in(fold(trained, pixels)) == zeros


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 99),
    allocation=st.sampled_from(ALLOCATIONS),
    kind=st.sampled_from(SALIENCIES),
    before=st.sampled_from([0.0, 0.8]),
    dead=st.integers(0, 31),
    remove_dead_units=st.booleans(),
)
def test_dynamic_masks_are_exact_whatever_the_latent_weights(
    seed, allocation, kind, before, dead, remove_dead_units
):
    rng = np.random.default_rng(seed)
    pruner = pruner_with(
        dynamic=True,
        allocation=allocation,
        saliency=kind,
        remove_dead_units=remove_dead_units,
    )
    latent, mask = make_parameters(seed, zeros=before), None
    for bias in latent.biases:
        bias[bias == 0] = 0.1
    latent.kernels[0][..., :dead] *= 0.02  # units that may die
    for sparsity in (0.85, 0.97, 0.99, 0.99):
        zeros = zeros_for(sparsity)
        moment = None if mask is None else second_moment_of(seed + 1)
        snapshot = snapshot_of(
            latent, gradient_of(seed), mask=mask, second_moment=moment
        )
        latent, mask = pruner(snapshot, MaskUpdate(zeros))
        assert zeros_in(mask) == zeros
        assert zeros_in(latent.masked(mask)) == zeros
        assert all(kernel.any() for kernel in mask.kernels)
        # Folding adds a mean to the bias of a unit with weights.
        assert not mask.incoming(0)[:, mask.biases[0] == 0].any()
        moved = rng.normal(0, 0.02, PARAMETERS).astype(np.float32)
        latent = Parameters(latent.vector + moved)


def test_a_pruned_weight_returns_with_a_dynamic_mask_once_it_is_large():
    latent, zeros = make_parameters(6), zeros_for(0.97)
    pruner = pruner_with(dynamic=True)
    latent, mask = pruner(snapshot_of(latent), MaskUpdate(zeros))
    pruned = mask.vector == 0
    assert latent.vector[pruned].any()
    large = pruned & (np.arange(PARAMETERS) % 1000 == 0)
    latent = Parameters(np.where(large, np.float32(1), latent.vector))
    _, new = pruner(snapshot_of(latent, mask=mask), MaskUpdate(zeros))
    assert new.vector[large].mean() > 0.95  # but for units that are dead
    assert zeros_in(new) == zeros


def test_a_unit_that_a_dynamic_mask_leaves_without_weights_stays_dead():
    latent, zeros = make_parameters(6), zeros_for(0.97)
    latent.kernels[1][..., 4] *= 1e-3
    pruner = pruner_with(dynamic=True)
    latent, mask = pruner(snapshot_of(latent), MaskUpdate(zeros))
    assert not mask.incoming(1)[:, 4].any()
    latent.kernels[1][..., 4] = 9  # as batch norm would fold it, by a std of nearly 0
    latent.biases[1][4] = 9
    latent, mask = pruner(snapshot_of(latent, mask=mask), MaskUpdate(zeros))
    assert zeros_in(mask) == zeros
    assert not mask.incoming(1)[:, 4].any()
    assert not mask.outgoing(1)[:, 4].any()
    assert mask.biases[1][4] == 0


def test_ties_are_pruned_in_order_of_index():
    ones = Parameters(np.ones(PARAMETERS, np.float32))
    mask = make_mask(ones, 10, "global").vector
    assert not mask[:10].any()
    assert mask[10:].all()


def test_biases_are_pruned_last():
    parameters = make_parameters(2)
    for allocation in ALLOCATIONS:
        mask = mask_of(parameters, PARAMETERS - BIASES, allocation)
        assert all(bias.all() for bias in mask.biases)
        assert not any(kernel.any() for kernel in mask.kernels)


def test_of_the_biases_the_smallest_are_pruned_first():
    parameters = make_parameters(2)
    for i, bias in enumerate(parameters.biases):
        bias[:] = 0.1 * (6 - i)  # the last layer's are the smallest
    mask = make_mask(parameters, PARAMETERS - BIASES + 10, "global")
    assert [int(bias.sum()) for bias in mask.biases] == [32, 32, 64, 64, 512, 0]


def test_denormals_count_as_zero():
    parameters = make_parameters(2)
    parameters.vector[-3:] = 1e-40
    mask = make_mask(parameters, 3, "lamp")
    assert not mask.vector[-3:].any()


def test_fewer_zeros_than_there_are_is_refused():
    with pytest.raises(UserError, match="already zero"):
        make_mask(make_parameters(5, zeros=0.5), 1000, "lamp")


def test_zeros_for_rounds():
    assert zeros_for(0.98) == 1_225_841
    assert zeros_for(0) == 0
    assert zeros_for(1) == PARAMETERS == 1_250_858

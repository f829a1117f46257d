import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.inference.compaction import compact
from shears.model.architecture import HIDDEN, PARAMETERS
from shears.model.parameters import Parameters
from shears.pruning.masks import zeros_for
from shears.pruning.units import prune_units
from tests.conftest import make_parameters
from tests.unit.pruning.common import ALLOCATIONS, DENSITIES, magnitude

LEAST = (1,) * 6


def pruned_of(parameters: Parameters, zeros: int, allocation="lamp", least=LEAST):
    """The saliency left, and the mask of it."""
    saliency = magnitude(parameters)
    saliency.vector[parameters.vector == 0] = -1
    left = prune_units(saliency, zeros, allocation, least=least, densities=DENSITIES)
    return left, Parameters((left.vector >= 0).astype(np.float32))


def gone_units(mask: Parameters) -> list[np.ndarray]:
    """The units of each hidden layer that a mask leaves nothing, (units,) bool each."""
    return [
        ~(mask.incoming(i).any(0) | mask.outgoing(i).any((0, 2))) & (bias == 0)
        for i, bias in zip(HIDDEN, mask.biases, strict=False)
    ]


def is_whole_but_for_one(mask: Parameters) -> bool:
    """Whether all weights that lie between other units than those gone are one's."""
    gone = gone_units(mask)
    alive = [np.ones(3, bool), *(~units for units in gone), np.ones(10, bool)]
    ends = []  # the two units of each such weight
    for i, kernel in enumerate(mask.kernels):
        windows = kernel.reshape(-1, len(alive[i]), len(alive[i + 1]))
        lost = (windows == 0).any(0) & alive[i][:, None] & alive[i + 1]
        ends += [{(i - 1, a), (i, b)} for a, b in np.argwhere(lost)]
    return not ends or bool(set.intersection(*ends))


@pytest.mark.slow
@settings(max_examples=20)
@given(
    seed=st.integers(0, 99),
    sparsity=st.floats(0, 0.99),
    allocation=st.sampled_from(ALLOCATIONS),
)
def test_whole_units_go_and_at_most_one_other_loses_weights(seed, sparsity, allocation):
    zeros = zeros_for(sparsity)
    left, mask = pruned_of(make_parameters(seed), zeros, allocation)
    assert mask.count_zeros() == zeros
    assert (left.vector[mask.vector == 1] >= 0).all()
    assert is_whole_but_for_one(mask)
    assert not any(units.all() for units in gone_units(mask))


@settings(max_examples=5)
@given(
    seed=st.integers(0, 99),
    sparsity=st.floats(0.5, 0.99),
    allocation=st.sampled_from(ALLOCATIONS),
)
def test_the_least_salient_units_of_a_layer_go_first(seed, sparsity, allocation):
    parameters = make_parameters(seed)
    _, mask = pruned_of(parameters, zeros_for(sparsity), allocation)
    gone = gone_units(mask)
    for i in HIDDEN:
        means = magnitude(parameters).incoming(i).mean(0)
        assert means[gone[i]].max(initial=0) <= means[~gone[i]].min()


@pytest.mark.parametrize("allocation", ALLOCATIONS)
def test_what_stays_is_a_nearly_dense_network_of_fewer_units(allocation):
    parameters = make_parameters(1)
    _, mask = pruned_of(parameters, zeros_for(0.97), allocation)
    network = compact(parameters.masked(mask))
    assert network.nonzeros == PARAMETERS - zeros_for(0.97)
    assert network.parameters < 1.1 * network.nonzeros


def test_uniform_keeps_the_same_fraction_of_each_layers_units():
    _, mask = pruned_of(make_parameters(1), zeros_for(0.9), "uniform")
    gone = gone_units(mask)
    kept = [1 - units.mean() for units in gone]
    # Rounding, to a unit of the smallest layer.
    np.testing.assert_allclose(kept, 0.315, atol=1 / 32)


@settings(max_examples=5)
@given(seed=st.integers(0, 99), before=st.floats(0.1, 0.9), rise=st.floats(0, 0.1))
def test_a_second_mask_adds_to_the_first(seed, before, rise):
    parameters = make_parameters(seed)
    _, first = pruned_of(parameters, zeros_for(before))
    zeros = zeros_for(min(0.99, before + rise))
    _, second = pruned_of(parameters.masked(first), zeros)
    assert second.count_zeros() == zeros
    assert not second.vector[first.vector == 0].any()
    assert is_whole_but_for_one(second)


@given(seed=st.integers(0, 9), data=st.data())
@settings(max_examples=10)
def test_no_kernel_falls_below_its_least(seed, data):
    parameters = make_parameters(seed)
    least = [
        int(data.draw(st.floats(0, 0.3)) * kernel.size) for kernel in parameters.kernels
    ]
    _, mask = pruned_of(parameters, zeros_for(0.95), "global", least)
    for kernel, count in zip(mask.kernels, least, strict=True):
        assert kernel.sum() >= count
    assert mask.count_zeros() <= zeros_for(0.95)


def test_the_last_unit_of_a_layer_stays():
    parameters = make_parameters(1)
    parameters.kernels[3][...] *= 1e-3  # by global, all units of the layer go first
    _, mask = pruned_of(parameters, PARAMETERS - 100, "global")
    assert all(kernel.any() for kernel in mask.kernels)
    gone = gone_units(mask)
    assert [int((~units).sum()) for units in gone] == [1] * 5

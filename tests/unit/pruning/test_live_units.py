import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shears.model.architecture import HIDDEN, PARAMETERS
from shears.model.parameters import Parameters
from shears.pruning.dead_units import find_dead_units, remove_dead_units
from shears.pruning.live_units import protect_units
from shears.pruning.mask_plan import MaskUpdate
from shears.pruning.masks import MaskSettings, Pruner, make_mask, zeros_for
from shears.runtime.errors import UserError
from tests.conftest import make_parameters
from tests.unit.pruning.common import (
    ALLOCATIONS,
    DENSITIES,
    gradient_of,
    magnitude,
    snapshot_of,
    zeros_in,
)


def live_fractions(parameters: Parameters) -> list[float]:
    dead = find_dead_units(remove_dead_units(parameters))
    return [1 - float(units.mean()) for units in dead.values()]


def with_weak_units(seed: int) -> Parameters:
    parameters = make_parameters(seed)
    for i in HIDDEN:
        half = parameters.incoming(i).shape[1] // 2
        parameters.incoming(i)[:, :half] *= 0.01
    return parameters


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 99),
    fraction=st.floats(0.1, 0.99),
    allocation=st.sampled_from(ALLOCATIONS),
    dynamic=st.booleans(),
    remove=st.booleans(),
)
@example(seed=0, fraction=0.25, allocation="global", dynamic=False, remove=False)
def test_the_fraction_of_live_units_is_kept_and_the_zeros_are_exact(
    seed, fraction, allocation, dynamic, remove
):
    chosen = MaskSettings(
        densities=DENSITIES,
        allocation=allocation,
        least_units=fraction,
        dynamic=dynamic,
        remove_dead_units=remove,
    )
    pruner = Pruner(chosen, seed=0, folded_layers=5)
    weights, mask = with_weak_units(seed), None
    for sparsity in (0.8, 0.98, 0.99):
        zeros = zeros_for(sparsity)
        snapshot = snapshot_of(weights, gradient_of(seed), mask=mask)
        weights, mask = pruner(snapshot, MaskUpdate(zeros))
        kept = weights.masked(mask)
        assert zeros_in(kept) == zeros
        for i, live in zip(HIDDEN, live_fractions(kept), strict=True):
            units = kept.incoming(i).shape[1]
            assert round(live * units) >= math.ceil(fraction * units)
        weights = weights if dynamic else kept


def test_weak_units_die_without_a_floor():
    kept = with_weak_units(0).masked(make_mask(with_weak_units(0), zeros_for(0.99)))
    assert max(live_fractions(kept)) < 0.8


def test_the_most_salient_units_are_protected_by_two_weights_each_at_most():
    parameters = with_weak_units(1)
    saliency = magnitude(parameters)
    protected = protect_units(saliency, parameters, 0.5)
    for i in HIDDEN:
        units = protected.incoming(i).any(0)
        assert units.sum() >= len(units) // 2
        assert units[len(units) // 2 :].all()  # the others are weak
    assert protected.vector.sum() <= 2 * 704 * 0.5


def test_what_is_pruned_is_not_protected():
    parameters = make_parameters(2, zeros=0.9)
    saliency = Parameters(
        np.where(parameters.vector == 0, -1, np.abs(parameters.vector))
    )
    protected = protect_units(saliency, parameters, 0.9)
    assert protected.vector.any()
    assert not protected.vector[parameters.vector == 0].any()


def test_a_floor_that_needs_more_than_stays_is_refused():
    with pytest.raises(UserError, match="a least_units of 0.9 keeps .* lower the leas"):
        make_mask(make_parameters(0), PARAMETERS - 900, least_units=0.9)

"""Masks of the folded network, applied to what is trained with batch norm."""

import numpy as np
import pytest

from shears.model import batch_norm
from shears.model.batch_norm import BatchNorm
from shears.model.parameters import BatchNormParameters, Parameters
from shears.pruning.dead_units import remove_dead_units
from shears.pruning.folded_masks import folded_masks
from shears.pruning.mask_plan import MaskUpdate
from shears.pruning.masks import MaskSettings, Pruner, make_mask
from tests.unit.model.trained import IMAGES, INPUT, make_trained
from tests.unit.pruning.common import snapshot_of

PRUNER = Pruner(MaskSettings(remove_dead_units=True), seed=0, folded_layers=5)


@pytest.mark.slow
@pytest.mark.parametrize("zeros", [1_000_000, 1_225_000, 1_245_000])
def test_a_mask_made_while_training_is_that_of_the_folded_network(zeros):
    norm, trained = BatchNorm(IMAGES), make_trained(2)
    update = MaskUpdate(zeros)
    changed, mask = folded_masks(norm, PRUNER)(snapshot_of(trained), update)
    expected_parameters, expected = PRUNER(snapshot_of(norm.fold(trained)), update)
    np.testing.assert_array_equal(mask.network.vector, expected.vector)
    assert all(gammas.all() for gammas in mask.gammas)
    folded = norm.fold(BatchNormParameters(changed.vector * mask.vector))
    kept = expected_parameters.masked(expected)
    np.testing.assert_array_equal(folded.vector != 0, kept.vector != 0)
    assert folded.count_zeros() == zeros
    for one, other in zip(changed.gammas, trained.gammas, strict=True):
        np.testing.assert_array_equal(one, other)


def test_removing_dead_units_changes_nothing():
    """A bias that batch norm swallows must not be added to it a second time."""
    norm, trained = BatchNorm(IMAGES), make_trained(3)
    kernels, biases = trained.network.kernels, trained.network.biases
    kernels[3][..., 5], biases[3][5] = 0, 0.7  # a constant before the dense layer
    kernels[4][:, 9], biases[4][9] = 0, 0.4  # and one before the last layer
    kernels[1][..., 3] = kernels[2][:, :, 3] = 0  # useless
    before = batch_norm.logits(trained.vector, INPUT)

    def remove(snapshot, update):
        left = remove_dead_units(snapshot.weights)
        return left, Parameters((left.vector != 0).astype("f4"))

    changed, mask = folded_masks(norm, remove)(snapshot_of(trained), MaskUpdate(0))
    masked = changed.vector * mask.vector
    assert (masked == 0).sum() > (trained.vector == 0).sum()
    np.testing.assert_allclose(batch_norm.logits(masked, INPUT), before, atol=1e-3)


def test_gradient_and_second_moment_are_those_of_the_folded_weights():
    """If a folded weight changes, the loss changes as the gradient says."""
    norm, trained = BatchNorm(IMAGES), make_trained(4)
    seen = {}

    def make(snapshot, update):
        seen.update(
            parameters=snapshot.weights,
            gradient=snapshot.gradient(),
            second_moment=snapshot.second_moment(),
        )
        return snapshot.weights, make_mask(snapshot.weights, 1000)

    slope = np.random.default_rng(0).normal(size=len(trained.vector)).astype("f4")
    gradient = BatchNormParameters(slope)
    snapshot = snapshot_of(
        trained, gradient, second_moment=BatchNormParameters(slope**2)
    )
    folded_masks(norm, make)(snapshot, MaskUpdate(1000))
    # First-order saliency |w g| is the same, whichever way weights are written.
    ours = seen["parameters"].masked(seen["gradient"])
    theirs = trained.network.masked(gradient.network)
    for one, other in zip(ours.kernels, theirs.kernels, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)
    # So is w^2 v, if v is the squared gradient.
    for kernel, moment, expected in zip(
        seen["parameters"].kernels,
        seen["second_moment"].kernels,
        theirs.kernels,
        strict=True,
    ):
        np.testing.assert_allclose(
            kernel**2 * moment, expected**2, rtol=1e-3, atol=1e-9
        )

"""Batch norm that training has and the network does not."""

import numpy as np
import pytest

from shears.model import batch_norm, input_normalisation
from shears.model import forward as network
from shears.model.architecture import PARAMETERS
from shears.model.batch_norm import SCALES, Folding
from shears.model.input_normalisation import Pixels, measure_pixels
from shears.model.parameters import flatten, unflatten
from shears.pruning.dead_units import remove_dead_units
from shears.pruning.folded_masks import folded_masks
from shears.pruning.masks import Pruner, make_mask
from shears.pruning.schedule import MaskUpdate
from shears.runtime.backend import tf
from tests.conftest import make_weights
from tests.unit.training.test_loop import make_data

IMAGES = make_data().images
INPUT = tf.constant(IMAGES.astype("f4") / 255)
PIXELS = measure_pixels(IMAGES)._replace(mean=np.zeros(3, np.float32))
PRUNER = Pruner("magnitude", "lamp", (1,) * 6, 0, True, 0, folded=5)


def make_trained(seed: int) -> np.ndarray:
    """A vector as training might leave it: no scale is what it was put in with."""
    rng = np.random.default_rng(seed)
    scales = rng.uniform(-0.5, 1.5, SCALES).astype("f4")
    return np.concatenate([flatten(make_weights(seed)), scales])


@pytest.mark.parametrize("pixels", [None, PIXELS])
def test_put_in_and_taken_out_it_leaves_the_network_as_it_was(pixels):
    vector = flatten(make_weights(0, zeros=0.5))
    folding = Folding(IMAGES, pixels)
    inserted = folding.insert(vector)
    assert inserted.shape == (PARAMETERS + SCALES,)
    # The images are one batch here, so its own statistics are those measured.
    np.testing.assert_allclose(
        batch_norm.logits(inserted, INPUT, pixels=pixels),
        network.logits(vector, INPUT, pixels=pixels),
        atol=2e-3,
    )
    back = folding.fold(inserted)
    np.testing.assert_allclose(back, vector, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("pixels", [None, PIXELS])
def test_the_folded_network_computes_what_was_trained(pixels):
    trained = make_trained(1)
    folded = Folding(IMAGES, pixels).fold(trained)
    expected = batch_norm.logits(trained, INPUT, pixels=pixels)
    found = network.logits(folded, INPUT, pixels=pixels)
    # Of the dense layer's 48 values, the unbiased deviation is 1 % larger.
    close = {"rtol": 2e-2, "atol": 1e-2}
    assert np.std(expected) > 0.3
    np.testing.assert_allclose(found, expected, **close)
    if pixels:  # and so does the network for plain pixels
        found = network.logits(input_normalisation.fold(folded, pixels), INPUT)
        np.testing.assert_allclose(found, expected, **close)
    kernels = unflatten(trained[:PARAMETERS])[::2]
    for kernel, before in zip(unflatten(folded)[::2], kernels, strict=True):
        np.testing.assert_array_equal(kernel == 0, before == 0)


def test_pixels_that_still_have_a_mean_are_refused():
    with pytest.raises(ValueError, match="mean"):
        Folding(IMAGES, Pixels(np.ones(3, "f4"), np.ones(3, "f4")))


@pytest.mark.parametrize("zeros", [1_000_000, 1_225_000, 1_245_000])
def test_a_mask_made_in_training_is_that_of_the_folded_network(zeros):
    folding, trained = Folding(IMAGES), make_trained(2)
    update = MaskUpdate(zeros, 0.0)
    vector, mask = folded_masks(folding, PRUNER)(trained, None, update)
    expected_vector, expected = PRUNER(folding.fold(trained), None, update)
    np.testing.assert_array_equal(mask[:PARAMETERS], expected)
    assert mask[PARAMETERS:].all()
    left = folding.fold(vector * mask)
    np.testing.assert_array_equal(left != 0, expected_vector * expected != 0)
    assert np.count_nonzero(left == 0) == zeros
    np.testing.assert_array_equal(vector[PARAMETERS:], trained[PARAMETERS:])


def test_a_dead_unit_that_is_removed_changes_nothing():
    """Biases that batch norm swallows must not be given to it a second time."""
    folding = Folding(IMAGES)
    trained = make_trained(3)
    arrays = unflatten(trained[:PARAMETERS])
    arrays[6][..., 5], arrays[7][5] = 0, 0.7  # a constant, behind it the dense layer
    arrays[8][:, 9], arrays[9][9] = 0, 0.4  # and one in front of the last layer
    arrays[2][..., 3] = arrays[4][:, :, 3] = 0  # of no use
    before = batch_norm.logits(trained, INPUT)

    def remove(vector, gradient, update):
        left = flatten(remove_dead_units(unflatten(vector)))
        return left, (left != 0).astype("f4")

    vector, mask = folded_masks(folding, remove)(trained, None, MaskUpdate(0, 0.0))
    assert (vector * mask == 0).sum() > (trained == 0).sum()
    np.testing.assert_allclose(
        batch_norm.logits(vector * mask, INPUT), before, atol=1e-3
    )


def test_the_gradient_is_that_of_the_folded_weights():
    """By a change of a folded weight, the loss changes as its gradient says."""
    folding, trained = Folding(IMAGES), make_trained(4)
    seen = {}

    def make(vector, gradient, update):
        seen.update(vector=vector, gradient=gradient())
        return vector, make_mask(vector, 1000)

    slope = np.random.default_rng(0).normal(size=len(trained)).astype("f4")
    folded_masks(folding, make)(trained, lambda: slope, MaskUpdate(1000, 0.0))
    # First-order saliency |w g| is the same, whichever way weights are written.
    kernels = unflatten(seen["vector"] * seen["gradient"])[::2]
    theirs = unflatten(trained[:PARAMETERS] * slope[:PARAMETERS])[::2]
    for found, expected in zip(kernels, theirs, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)

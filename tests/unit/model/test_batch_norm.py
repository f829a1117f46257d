"""Batch norm that training has and the network does not."""

import numpy as np
import pytest

from shears.model import batch_norm, forward, input_normalisation
from shears.model.batch_norm import BatchNorm
from shears.model.input_normalisation import PixelStatistics, measure_pixels
from tests.conftest import make_parameters
from tests.unit.model.trained import IMAGES, INPUT, make_trained
from tests.unit.training.recipes import make_data

PIXELS = measure_pixels(IMAGES)._replace(mean=np.zeros(3, np.float32))


@pytest.mark.parametrize("pixels", [None, PIXELS])
def test_inserted_and_folded_it_leaves_the_network_as_it_was(pixels):
    parameters = make_parameters(0, zeros=0.5)
    norm = BatchNorm(IMAGES, pixels)
    inserted = norm.insert(parameters)
    # The images are one batch here, so its own statistics are those measured.
    np.testing.assert_allclose(
        batch_norm.logits(inserted.vector, INPUT, pixels=pixels),
        forward.logits(parameters.vector, INPUT, pixels=pixels),
        atol=2e-3,
    )
    folded = norm.fold(inserted).vector
    np.testing.assert_allclose(folded, parameters.vector, rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("pixels", [None, PIXELS])
def test_the_folded_network_computes_what_was_trained(pixels):
    trained = make_trained(1)
    for gamma in trained.gammas:
        gamma[::3] *= -1  # its sign does not count
    folded = BatchNorm(IMAGES, pixels).fold(trained)
    expected = batch_norm.logits(trained.vector, INPUT, pixels=pixels)
    outputs = forward.logits(folded.vector, INPUT, pixels=pixels)
    # Of the dense layer's 48 values, the unbiased variance is 2 % larger.
    close = {"rtol": 2e-2, "atol": 1e-2}
    assert np.std(expected) > 0.3
    np.testing.assert_allclose(outputs, expected, **close)
    if pixels:  # and so does the network for plain pixels
        plain = input_normalisation.fold(folded, pixels)
        np.testing.assert_allclose(
            forward.logits(plain.vector, INPUT), expected, **close
        )
    pairs = zip(folded.kernels, trained.network.kernels, strict=True)
    for kernel, before in pairs:
        np.testing.assert_array_equal(kernel == 0, before == 0)


def test_pixels_that_still_have_a_mean_are_refused():
    with pytest.raises(ValueError, match="mean"):
        BatchNorm(IMAGES, PixelStatistics(np.ones(3, "f4"), np.ones(3, "f4")))


def test_few_images_give_nearly_the_same_standard_deviations():
    images = make_data(1200).images
    norm, trained = BatchNorm(images), make_trained(5)
    pairs = zip(norm.estimate(trained), norm.measure(trained), strict=True)
    for (_, few), (_, many) in pairs:
        assert (few != many).any()
        np.testing.assert_allclose(np.sqrt(few), np.sqrt(many), rtol=0.3)

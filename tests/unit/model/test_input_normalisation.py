"""Normalised pixels, folded into the first layer."""

import numpy as np

from shears.model.forward import logits
from shears.model.input_normalisation import fold, measure_pixels, unfold
from shears.runtime.backend import tf
from tests.conftest import make_parameters
from tests.unit.training.recipes import make_data


def test_folding_keeps_the_logits_and_the_zeros():
    raw = make_data().images
    pixels = measure_pixels(raw)
    images = raw.astype("f4") / 255
    np.testing.assert_allclose(pixels.mean, images.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(pixels.std, images.std((0, 1, 2)), rtol=1e-4)
    parameters = make_parameters(0, zeros=0.5)
    normalised = logits(tf.constant(parameters.vector), images, pixels=pixels)
    folded = fold(parameters, pixels)
    np.testing.assert_allclose(
        logits(tf.constant(folded.vector), images), normalised, rtol=1e-4, atol=1e-4
    )
    # The same by the definition: normalised images, padded with what raw zeros become.
    black = ((0 - pixels.mean) / pixels.std).astype("f4")
    padded = np.tile(black, (len(images), 34, 34, 1))
    padded[:, 1:-1, 1:-1] = (images - pixels.mean) / pixels.std
    kernel, bias = parameters.kernels[0], parameters.biases[0]
    expected = tf.nn.conv2d(padded, kernel, 1, "VALID") + bias
    kernel, bias = folded.kernels[0], folded.biases[0]
    result = tf.nn.conv2d(images, kernel, 1, "SAME") + bias
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(kernel == 0, parameters.kernels[0] == 0)
    for one, other in zip(folded.arrays[2:], parameters.arrays[2:], strict=True):
        np.testing.assert_array_equal(one, other)
    back = unfold(folded, pixels).vector
    np.testing.assert_allclose(back, parameters.vector, rtol=1e-4, atol=1e-5)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.data.dataset import Split
from shears.evaluation.grading import GradedNetwork
from shears.model import forward
from shears.model.architecture import PARAMETERS
from shears.model.numpy_forward import BLOCK, logits, predictions
from shears.model.parameters import Parameters
from shears.runtime.backend import tf
from tests.conftest import make_parameters

CLOSE = 1e-4  # two best logits that may change places


def draw_images(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@given(
    st.integers(0, 1000),
    st.sampled_from([0.0, 0.5, 0.97, 0.999, 1.0]),
    st.integers(1, 2 * BLOCK + 1),
)
@settings(max_examples=12)
def test_logits_are_those_of_the_network_whatever_the_zeros(seed, zeros, count):
    parameters, images = make_parameters(seed, zeros=zeros), draw_images(seed, count)
    pixels = tf.constant(images.astype(np.float32) / 255)
    expected = forward.logits(tf.constant(parameters.vector), pixels).numpy()
    found = logits(parameters, images)
    assert found.dtype == np.float32
    largest = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("zeros", [0.0, 0.9])
def test_predictions_are_those_of_the_scorer(zeros):
    parameters, images = make_parameters(3, zeros=zeros), draw_images(3, 500)
    outputs = logits(parameters, images)
    split = Split(images, np.zeros(500, np.uint8))
    _, expected = GradedNetwork.from_parameters(parameters).score(split)
    best = np.sort(outputs, 1)
    clear = best[:, -1] - best[:, -2] >= CLOSE
    assert clear.sum() > 400
    np.testing.assert_array_equal(predictions(outputs)[clear], expected[clear])


@pytest.mark.parametrize("units", [slice(None), 7])
@pytest.mark.parametrize("size", [1e-20, 1e30])
def test_weights_of_extreme_sizes_are_predicted_as_by_the_scorer(size, units):
    parameters = Parameters(np.zeros(PARAMETERS, np.float32))
    parameters.biases[-1][:] = np.arange(10)
    parameters.kernels[-1][:, units] = size  # 1e30 x 1e30 is infinite
    parameters.biases[-2][:] = size
    images = draw_images(0, 4)
    split = Split(images, np.zeros(4, np.uint8))
    _, expected = GradedNetwork.from_parameters(parameters).score(split)
    np.testing.assert_array_equal(predictions(logits(parameters, images)), expected)


@pytest.mark.parametrize("layer", [3, 4])
def test_a_unit_that_overflows_counts_though_nothing_uses_it(layer):
    parameters = make_parameters(0)
    parameters.kernels[layer][..., 7] = 3e38
    parameters.outgoing(layer)[:, 7] = 0
    images = draw_images(0, 4)
    split = Split(images, np.zeros(4, np.uint8))
    _, expected = GradedNetwork.from_parameters(parameters).score(split)
    np.testing.assert_array_equal(predictions(logits(parameters, images)), expected)


def test_progress_may_end_the_computation():
    seen = []

    def progress(images: int) -> None:
        seen.append(images)
        if images:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        logits(make_parameters(0, zeros=0.99), draw_images(0, 5 * BLOCK), progress)
    assert seen == [0, BLOCK]

import numpy as np
import pytest

from shears.model.architecture import PARAMETERS, SHAPES
from shears.model.forward import build_keras_model, drop_units, logits
from shears.model.parameters import initial_parameters
from shears.runtime.backend import tf
from tests.conftest import make_parameters

IMAGES = np.random.default_rng(0).random((8, 32, 32, 3)).astype(np.float32)


def test_keras_model_is_the_assignments():
    model = build_keras_model()
    assert model.count_params() == PARAMETERS == 1_250_858
    assert [w.shape for w in model.get_weights()] == list(SHAPES)


def test_pure_function_and_keras_model_are_one_network():
    parameters = make_parameters(0)
    model = build_keras_model()
    model.set_weights(parameters.arrays)
    ours = tf.nn.softmax(logits(tf.constant(parameters.vector), IMAGES)).numpy()
    np.testing.assert_allclose(ours, model(IMAGES).numpy(), rtol=1e-4, atol=1e-6)


def test_bfloat16_is_close_and_ends_in_float32():
    vector = tf.constant(initial_parameters(0).vector)
    exact = logits(vector, IMAGES)
    rough = logits(vector, tf.cast(IMAGES, tf.bfloat16))
    assert rough.dtype == tf.float32
    error = np.abs(rough - exact).max() / np.abs(exact).max()
    assert 0 < error < 0.02


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate):
    x = tf.ones((1000, 5, 64))
    dropped = drop_units(x, rate, tf.constant([1, 2])).numpy()
    # 320,000 draws: 6 standard errors.
    assert abs((dropped == 0).mean() - rate) < 6 * np.sqrt(
        rate * (1 - rate) / x.numpy().size
    )
    np.testing.assert_allclose(np.unique(dropped), [0, 1 / (1 - rate)], rtol=1e-4)
    # The two halves of one random number are independent.
    neighbours = (dropped[..., ::2] == 0) & (dropped[..., 1::2] == 0)
    assert abs(neighbours.mean() - rate**2) < 0.01


def test_dropout_follows_seed_and_rate():
    vector = tf.constant(initial_parameters(0).vector)
    rates = (0.25, 0.25, 0.5)
    one, same, other = (
        logits(vector, IMAGES, rates, tf.constant([0, n])).numpy() for n in (8, 8, 16)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    assert (one != logits(vector, IMAGES).numpy()).all()

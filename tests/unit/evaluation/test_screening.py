"""Screened predictions are those of float32, whatever the network."""

import numpy as np
import pytest

from shears.evaluation import screening
from shears.evaluation.grading import GradedNetwork
from shears.evaluation.screening import Screen
from shears.model.parameters import Parameters
from tests.conftest import make_parameters
from tests.unit.evaluation.test_grading import make_split

IMAGES = make_split(300)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def screen(request):
    return Screen(IMAGES, request.param)


def confused(scale: float) -> Parameters:
    """A network whose logits lie close together: many predictions are in doubt."""
    parameters = make_parameters(1)
    for kernel in parameters.kernels:
        kernel *= 1.5
    parameters.kernels[-1][:] *= scale
    return parameters


@pytest.mark.parametrize(
    "parameters",
    [
        make_parameters(0),
        make_parameters(0, zeros=0.97),
        confused(1.0),
        confused(1e6),
        Parameters(np.zeros_like(make_parameters(0).vector)),
    ],
    ids=["dense", "pruned", "confused", "large", "constant"],
)
def test_predictions_are_those_of_the_grader(screen, parameters):
    _, expected = GradedNetwork.from_parameters(parameters).score(IMAGES)
    predictions = screen.predict(parameters)
    assert predictions.dtype == np.uint8
    np.testing.assert_array_equal(predictions, expected)


def test_bfloat16_alone_would_differ(monkeypatch):
    """Otherwise the tests above would show nothing."""
    expected = Screen(IMAGES, "float32").predict(confused(1.0))
    monkeypatch.setattr(screening, "SAFETY", 0.0)
    predictions = Screen(IMAGES, "bfloat16").predict(confused(1.0))
    assert (predictions != expected).any()


def test_a_network_whose_sample_says_too_little_is_computed_in_float32():
    noise = np.random.default_rng(0).normal(0, 1, (len(IMAGES.labels), 10))
    noise[:: screening.SAMPLED] = 0

    class Misled(Screen):
        def _logits(self, vector, rows, dtype):
            exact = super()._logits(vector, rows, dtype)
            rough = dtype == screening.tf.bfloat16
            return exact + noise[rows].astype(np.float32) if rough else exact

    expected = Screen(IMAGES, "float32").predict(confused(1.0))
    predictions = Misled(IMAGES, "bfloat16").predict(confused(1.0))
    np.testing.assert_array_equal(predictions, expected)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.pruning.saliency import compute_saliency
from tests.conftest import make_parameters
from tests.unit.pruning.common import (
    SALIENCIES,
    gradient_of,
    magnitude,
    second_moment_of,
)


def test_first_order_saliency_is_the_change_of_the_loss():
    parameters, slope = make_parameters(1), gradient_of(1)
    saliency = compute_saliency(parameters, "first_order", gradient=lambda: slope)
    expected = np.abs(parameters.vector.astype(float) * slope.vector)
    np.testing.assert_allclose(saliency.vector, expected)


def test_second_moment_saliency_is_the_root_of_the_loss_increase():
    parameters, moment = make_parameters(1), second_moment_of(1)
    saliency = compute_saliency(
        parameters, "second_moment", second_moment=lambda: moment
    )
    expected = parameters.vector.astype(float) ** 2 * moment.vector
    np.testing.assert_allclose(saliency.vector**2, expected)


def test_before_there_is_a_second_moment_magnitude_decides():
    parameters = make_parameters(1)
    saliency = compute_saliency(parameters, "second_moment")
    np.testing.assert_array_equal(saliency.vector, magnitude(parameters).vector)


def test_random_saliency_follows_its_seed():
    parameters = make_parameters(1)
    one, same, other = (
        compute_saliency(parameters, "random", seed=seed).vector for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()


def test_magnitude_is_the_absolute_value_in_float64():
    parameters = make_parameters(1)
    saliency = compute_saliency(parameters, "magnitude")
    assert saliency.vector.dtype == np.float64
    np.testing.assert_array_equal(saliency.vector, magnitude(parameters).vector)


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 99), zeros=st.floats(0, 1))
@pytest.mark.parametrize("kind", SALIENCIES)
def test_no_saliency_is_negative_and_the_weights_stay(kind, seed, zeros):
    parameters = make_parameters(seed, zeros=zeros)
    before = parameters.copy()
    saliency = compute_saliency(
        parameters,
        kind,
        gradient=lambda: gradient_of(seed),
        second_moment=lambda: second_moment_of(seed),
        seed=seed,
    )
    assert saliency.vector.min() >= 0
    np.testing.assert_array_equal(parameters.vector, before.vector)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="kind: found 'size', expected one of "):
        compute_saliency(make_parameters(1), "size")

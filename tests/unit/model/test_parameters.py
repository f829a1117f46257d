import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.model.architecture import LAYERS, PARAMETERS, SHAPES
from shears.model.parameters import (
    GAMMAS,
    SMALLEST,
    BatchNormParameters,
    Parameters,
    flush_denormals,
    initial_parameters,
    kernel_mask,
)
from tests.conftest import make_parameters

NUMBERED = Parameters(np.arange(PARAMETERS, dtype=np.int64))


def test_arrays_are_kernel_and_bias_of_each_layer_in_turn():
    assert [array.shape for array in NUMBERED.arrays] == list(SHAPES)
    flat = np.concatenate([array.ravel() for array in NUMBERED.arrays])
    np.testing.assert_array_equal(flat, NUMBERED.vector)
    layers = zip(NUMBERED.kernels, NUMBERED.biases, strict=True)
    for layer, (kernel, bias) in zip(LAYERS, layers, strict=True):
        assert kernel.shape == layer.kernel
        assert bias.shape == layer.kernel[-1:]


def test_arrays_and_layers_can_be_joined_again():
    parameters = make_parameters(1)
    for joined in (
        Parameters.from_arrays(parameters.arrays),
        Parameters.from_layers(parameters.kernels, parameters.biases),
    ):
        np.testing.assert_array_equal(joined.vector, parameters.vector)
        joined.kernels[0][...] = 0  # a copy
    assert parameters.kernels[0].all()


def test_views_share_the_vector_and_a_copy_does_not():
    parameters = make_parameters(0)
    copy = parameters.copy()
    parameters.kernels[1][0, 0, 3, 5] = 7
    parameters.biases[5][...] = 8
    assert np.count_nonzero(parameters.vector != copy.vector) == 11


@pytest.mark.parametrize("layer", range(5))
def test_a_units_incoming_and_outgoing_weights(layer):
    ones = Parameters(np.ones(PARAMETERS, np.float32))
    ones.incoming(layer)[:, 3] = 0
    assert (ones.kernels[layer][..., 3] == 0).all()
    assert ones.count_zeros() == ones.kernels[layer].size // LAYERS[layer].kernel[-1]
    ones.outgoing(layer)[:, 3] = 0
    following = ones.kernels[layer + 1]
    if LAYERS[layer].name == "conv2d_3":  # flattened: channels come last
        assert (following[3::64] == 0).all()
    else:
        assert (following[..., 3, :] == 0).all()
    share = following.size // LAYERS[layer].kernel[-1]
    assert (following == 0).sum() == share


@pytest.mark.parametrize("type_", [Parameters, BatchNormParameters])
def test_another_shape_is_refused(type_):
    for shape in ((PARAMETERS - 1,), (1, PARAMETERS)):
        with pytest.raises(ValueError, match="vector: found shape"):
            type_(np.zeros(shape))


def test_gammas_come_after_the_network():
    gammas = np.arange(GAMMAS, dtype=np.float32)
    joined = BatchNormParameters.join(make_parameters(0), [gammas])
    np.testing.assert_array_equal(joined.network.vector, make_parameters(0).vector)
    units = [layer.kernel[-1] for layer in LAYERS[:-1]]
    assert [len(part) for part in joined.gammas] == units
    np.testing.assert_array_equal(np.concatenate(joined.gammas), gammas)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), zeros=st.floats(0, 1))
def test_zeros_are_counted_in_kernels_and_biases(seed, zeros):
    parameters = make_parameters(seed, zeros=zeros)
    by_array = sum(int((array == 0).sum()) for array in parameters.arrays)
    assert parameters.count_zeros() == by_array


@given(st.floats(width=32, allow_nan=False))
def test_denormals_and_minus_zero_are_flushed_and_nothing_else(value):
    value = np.float32(value)
    (flushed,) = flush_denormals(np.array([value]))
    if abs(value) < SMALLEST:
        assert flushed.tobytes() == bytes(4)
    else:
        assert flushed.tobytes() == value.tobytes()


def test_initial_weights_are_glorot_uniform():
    first = initial_parameters(0)
    for layer, kernel, bias in zip(LAYERS, first.kernels, first.biases, strict=True):
        receptive_field = int(np.prod(layer.kernel[:-2]))
        limit = np.sqrt(6 / (receptive_field * sum(layer.kernel[-2:])))
        assert 0.97 * limit < np.abs(kernel).max() <= limit
        assert not bias.any()
        assert kernel.dtype == np.float32
    assert (first.kernels[0] != initial_parameters(1).kernels[0]).all()


@pytest.mark.parametrize("form", [Parameters, BatchNormParameters])
def test_the_mask_of_kernels_leaves_out_biases_and_gammas(form):
    mask = form(kernel_mask(batch_norm=form is BatchNormParameters))
    network = mask if form is Parameters else mask.network
    assert all(kernel.all() for kernel in network.kernels)
    assert not any(bias.any() for bias in network.biases)
    assert mask.vector.sum() == sum(kernel.size for kernel in network.kernels)

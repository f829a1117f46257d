import os
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings

from shears.data.cifar10 import read_archive
from shears.inference.compact_network import CompactNetwork
from shears.inference.compaction import check_equivalence, compact, logits
from shears.model import forward
from shears.model.architecture import HIDDEN, LAYERS, PARAMETERS
from shears.model.parameters import Parameters
from shears.runtime.backend import tf
from shears.runtime.errors import UserError
from shears.runtime.paths import expand
from shears.weight_files.canonical import read_weights
from tests import ROOT
from tests.conftest import make_parameters
from tests.unit.inference.common import IMAGES, padded, sparse_networks

REFERENCE = ROOT / "reference/my_model_weights.h5"
ARCHIVE = os.environ.get("CIFAR10_ARCHIVE")
UNIT = 7


def assert_consistent(network: CompactNetwork) -> None:
    """Checks shapes and dtypes."""
    widths = (3, *network.widths, 10)
    for i, layer in enumerate(LAYERS):
        inputs = widths[i] * (36 if layer.name == "dense" else 1)
        shape = (*layer.kernel[:-2], inputs, widths[i + 1])
        assert network.kernels[i].shape == shape
        assert network.biases[i].shape == shape[-1:]
        assert network.kernels[i].dtype == network.biases[i].dtype == np.float32
    assert len(set(map(bool, network.widths))) == 1
    assert network.constant == (network.widths == (0,) * 5)


@pytest.mark.slow
@settings(max_examples=30, derandomize=True)
@given(parameters=sparse_networks)
def test_logits_stay_whatever_the_zeros(parameters):
    before = parameters.copy()
    network = compact(parameters)
    np.testing.assert_array_equal(parameters.vector, before.vector)
    assert_consistent(network)
    check_equivalence(network, parameters, IMAGES)
    expected = forward.logits(tf.constant(parameters.vector), IMAGES).numpy()
    ours = logits(network, IMAGES).numpy()
    assert ours.dtype == np.float32
    np.testing.assert_allclose(
        ours, expected, rtol=0, atol=1e-5 * max(1, np.abs(expected).max())
    )
    if network.constant:
        np.testing.assert_array_equal(ours, np.tile(network.biases[-1], (4, 1)))


@pytest.mark.slow
@settings(max_examples=30, derandomize=True)
@given(parameters=sparse_networks)
def test_nothing_is_left_to_leave_out(parameters):
    network = compact(parameters)
    assert network.nonzeros <= PARAMETERS - parameters.count_zeros()
    again = compact(padded(network))
    for old, new in zip(
        (*network.kernels, *network.biases),
        (*again.kernels, *again.biases),
        strict=True,
    ):
        np.testing.assert_array_equal(new, old)
    for i in HIDDEN:
        fixed = padded(network)
        alive = np.arange(fixed.biases[i].size) < network.widths[i]
        assert (fixed.outgoing(i).any((0, 2)) == alive).all()
        if LAYERS[i + 1].padding != "SAME":  # where a constant stays
            assert (fixed.incoming(i).any(0) == alive).all()


def test_a_dense_network_stays_as_it_is():
    parameters = make_parameters(0)
    network = compact(parameters)
    for old, new in zip(parameters.kernels, network.kernels, strict=True):
        np.testing.assert_array_equal(new, old)
    assert network.widths == (32, 32, 64, 64, 512)
    assert network.parameters == network.nonzeros == PARAMETERS
    assert network.multiply_adds == network.multiply_adds_left == 20_741_120


def test_flattens_order_is_followed():
    parameters = make_parameters(0)
    parameters.kernels[3][..., [0, 5, 63]] = 0
    parameters.biases[3][[0, 5, 63]] = -1
    network = compact(parameters)
    assert network.widths == (32, 32, 64, 61, 512)
    rows = np.arange(2304).reshape(6, 6, 64)
    kept = np.delete(rows, [0, 5, 63], axis=2).ravel()
    np.testing.assert_array_equal(network.kernels[4], parameters.kernels[4][kept])
    check_equivalence(network, parameters, IMAGES)


def test_a_constant_stays_as_a_channel_before_same_padding():
    parameters = make_parameters(0)
    parameters.kernels[1][..., UNIT], parameters.biases[1][UNIT] = 0, 0.5
    network = compact(parameters)
    assert network.widths == (32, 32, 64, 64, 512)
    check_equivalence(network, parameters, IMAGES)
    parameters.biases[1][UNIT] = -0.5  # now it is 0
    network = compact(parameters)
    assert network.widths == (32, 31, 64, 64, 512)
    check_equivalence(network, parameters, IMAGES)


def test_a_unit_that_depends_on_borders_alone_is_folded_into_the_dense_layer():
    parameters = make_parameters(0)
    parameters.kernels[1][..., UNIT], parameters.biases[1][UNIT] = 0, 0.5
    other = np.arange(32) != UNIT
    parameters.kernels[2][:, :, other, 3] = 0  # sees the constant, and borders
    unit = np.arange(64) != 3
    parameters.kernels[3][:, :, unit, 4] = 0  # sees this only
    parameters.kernels[2][:, :, UNIT, 3] = parameters.kernels[3][:, :, 3, 4] = 1
    network = compact(parameters)
    assert network.widths == (32, 32, 64, 63, 512)
    assert (network.biases[4] != parameters.biases[4]).all()
    check_equivalence(network, parameters, IMAGES)


def test_large_constants_that_cancel_are_no_fault_of_the_compaction():
    """A network that collapsed at 99.5 % has biases of 51 and logits below 1."""
    parameters = make_parameters(0)
    parameters.kernels[3][...], parameters.biases[3][...] = 0, 1e-3
    parameters.biases[4][...] = 50
    parameters.kernels[5][::2] *= 100
    parameters.kernels[5][1::2] = -parameters.kernels[5][::2]
    network = compact(parameters)
    assert network.constant and np.abs(network.biases[5]).max() < 1
    assert check_equivalence(network, parameters, IMAGES) > 1e-5


@pytest.mark.parametrize("layer", range(6))
def test_a_network_with_an_empty_layer_is_its_last_bias(layer):
    parameters = make_parameters(layer)
    parameters.vector[:] = np.abs(parameters.vector)  # no unit is silent
    parameters.kernels[layer][...] = 0
    network = compact(parameters)
    assert_consistent(network)
    assert network.constant
    assert network.multiply_adds == network.multiply_adds_left == 0
    assert network.parameters == 10
    check_equivalence(network, parameters, IMAGES)
    assert logits(network, IMAGES[:0]).shape == (0, 10)


def test_a_constant_beyond_float32_is_refused():
    parameters = make_parameters(0)
    parameters.kernels[3][..., UNIT], parameters.biases[3][UNIT] = 0, 1e30
    parameters.kernels[4][UNIT] = 1e30
    with pytest.raises(UserError, match="exceed the range of float32"):
        compact(parameters)


def test_a_fault_is_noticed():
    parameters = make_parameters(0)
    network = compact(parameters)
    assert check_equivalence(network, parameters, IMAGES) < 1e-9
    network.biases[-1][3] += 2e-5
    with pytest.raises(RuntimeError, match=r"differ by 2e-05, expected at most 1e-05"):
        check_equivalence(network, parameters, IMAGES)
    network.biases[-1][3] = np.nan
    with pytest.raises(RuntimeError, match="differ by nan"):
        check_equivalence(network, parameters, IMAGES)


@pytest.fixture(scope="module")
def reference() -> Parameters:
    return read_weights(REFERENCE)


def count_live_units(parameters: Parameters) -> tuple[int, ...]:
    """Counts the units of each hidden layer that have weights before and after them."""
    kernels = [k.reshape(-1, *k.shape[-2:]) for k in parameters.kernels]
    kernels[4] = kernels[4].reshape(36, -1, kernels[4].shape[-1])  # pixels and channels
    return tuple(
        int((before.any((0, 1)) & after.any((0, 2))).sum())
        for before, after in pairwise(kernels)
    )


def test_the_reference_submission_needs_a_quarter_of_the_multiply_adds(reference):
    network = compact(reference)
    assert network.widths == count_live_units(reference)
    assert network.nonzeros == PARAMETERS - reference.count_zeros()
    assert (
        network.multiply_adds_left < CompactNetwork.whole(reference).multiply_adds / 4
    )
    check_equivalence(network, reference, IMAGES)


@pytest.mark.slow
@pytest.mark.skipif(not ARCHIVE, reason="no CIFAR10_ARCHIVE")
def test_the_reference_submissions_logits_stay_on_every_test_image(reference):
    images = read_archive(expand(ARCHIVE))[1].images.astype(np.float32) / 255
    check_equivalence(compact(reference), reference, images)

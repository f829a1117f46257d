import numpy as np
import pytest

from shears.inference.compact_network import (
    POSITIONS,
    CompactNetwork,
    count_multiply_adds,
)
from shears.model.architecture import KERNEL_SIZES, LAYERS, PARAMETERS
from shears.model.forward import build_keras_model
from tests.conftest import make_parameters
from tests.unit.inference.c_programs import random_network
from tests.unit.inference.common import constant_network


def test_positions_are_those_of_each_layers_kernel():
    layers = [layer for layer in build_keras_model().layers if layer.weights]
    counted = [int(np.prod(layer.output.shape[1:-1])) for layer in layers]
    assert counted == list(POSITIONS)


def test_the_whole_network_is_the_fixed_one():
    parameters = make_parameters(0, zeros=0.9)
    network = CompactNetwork.whole(parameters)
    assert network.widths == (32, 32, 64, 64, 512)
    assert network.parameters == PARAMETERS
    assert network.nonzeros == PARAMETERS - parameters.count_zeros()
    assert network.multiply_adds == count_multiply_adds(KERNEL_SIZES) == 20_741_120
    assert not network.constant


def test_work_and_weights_are_counted_by_hand():
    network = random_network((1, 2, 3, 4, 5), 1)
    network.kernels[1][...] = 0
    sizes = 27, 18, 54, 108, 36 * 4 * 5, 50
    assert network.widths == (1, 2, 3, 4, 5)
    assert network.parameters == sum(sizes) + 1 + 2 + 3 + 4 + 5 + 10
    assert network.nonzeros == network.parameters - 18
    expected = 1024 * 27 + 900 * 18 + 225 * 54 + 169 * 108 + 720 + 50
    assert network.multiply_adds == expected
    assert network.multiply_adds_left == expected - 900 * 18
    used = 1024 * 27 + 196 * 54 + 144 * 108 + 720 + 50
    assert network.multiply_adds_in_c == used


def test_a_network_without_units_is_constant():
    network = constant_network()
    assert network.constant
    assert network.widths == (0,) * 5
    assert network.parameters == 10
    assert network.multiply_adds == network.multiply_adds_left == 0


def test_a_count_for_each_kernel_is_needed():
    with pytest.raises(ValueError, match="zip"):
        count_multiply_adds([1] * (len(LAYERS) - 1))

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.model.architecture import HIDDEN, LAYERS
from shears.model.forward import logits
from shears.model.parameters import SMALLEST, Parameters
from shears.pruning.dead_units import find_dead_units, remove_dead_units
from shears.runtime.backend import tf
from tests.conftest import make_parameters

# Noise, below zero too; in float64, so that rounding hides nothing.
IMAGES = np.random.default_rng(0).normal(0, 1, (4, 32, 32, 3))
UNIT = 7
# What a unit of each hidden layer has in the next layer's kernel.
OUTGOING = (
    np.s_[:, :, UNIT],
    np.s_[:, :, UNIT],
    np.s_[:, :, UNIT],
    np.s_[UNIT::64],
    np.s_[UNIT],
)
CONV2 = 1  # the next layer pads

sparse = given(seed=st.integers(0, 999), sparsity=st.floats(0.9, 0.999))
few = settings(max_examples=10, deadline=None, derandomize=True)


def make_sparse(seed: int, sparsity: float) -> Parameters:
    """Draws a sparse network whose signals neither vanish nor explode."""
    rng = np.random.default_rng(seed)
    parameters = make_parameters(seed, zeros=sparsity)
    for kernel, bias in zip(parameters.kernels, parameters.biases, strict=True):
        inputs = (1 - sparsity) * kernel.size / len(bias)
        kernel *= np.float32(20 * np.sqrt(2 / max(inputs, 1)))
        bias[:] = rng.normal(0, 1, bias.shape) * (rng.random(bias.shape) < 0.7)
    return parameters


def assert_same_function(before, after):
    old, new = (
        logits(tf.constant(p.vector), tf.constant(IMAGES)).numpy()
        for p in (before, after)
    )
    np.testing.assert_allclose(new, old, rtol=0, atol=2e-6 * np.abs(old).max())


def assert_equal(ours, expected):
    np.testing.assert_array_equal(ours.vector, expected.vector)


@few
@sparse
def test_outputs_stay(seed, sparsity):
    weights = make_sparse(seed, sparsity)
    assert_same_function(weights, remove_dead_units(weights))


@few
@sparse
def test_nonzeros_never_grow_and_nothing_is_left_to_remove(seed, sparsity):
    weights = make_sparse(seed, sparsity)
    once = remove_dead_units(weights)
    assert once.count_zeros() >= weights.count_zeros()
    assert_equal(remove_dead_units(once), once)
    for i in HIDDEN:
        fed = once.incoming(i).any(0)
        next_kernel = np.moveaxis(once.kernels[i + 1], -1, 0)
        useful = next_kernel.reshape(-1, len(fed)).any(0)
        assert not (fed & ~useful).any()
        assert not once.biases[i][~useful].any()
        if i != CONV2:
            assert not (~fed & useful).any()


def test_the_result_is_a_copy_without_denormals():
    weights = make_sparse(0, 0.99)
    weights.kernels[1][0, 0, 0, :9] = SMALLEST / 2
    weights.biases[1][:9] = -0.0
    before = weights.copy()
    after = remove_dead_units(weights).vector
    assert_equal(weights, before)
    assert after.dtype == np.float32
    assert (np.abs(after[after != 0]) >= SMALLEST).all()
    assert not np.signbit(after[after == 0]).any()


def test_a_network_without_dead_units_stays_as_it_is():
    weights = make_parameters(0, zeros=0.2)
    assert_equal(remove_dead_units(weights), weights)


@pytest.mark.parametrize("layer", [0, 2, 3, 4])
def test_a_constant_unit_goes_into_the_next_bias(layer):
    weights = make_parameters(layer, zeros=0.2)
    weights.kernels[layer][..., UNIT] = 0
    weights.biases[layer][UNIT] = 0.5
    before = weights.copy()
    outgoing = weights.kernels[layer + 1][OUTGOING[layer]]
    positions = tuple(range(outgoing.ndim - 1))
    weights.biases[layer + 1] += 0.5 * outgoing.sum(positions)
    outgoing[...] = 0
    weights.biases[layer][UNIT] = 0
    after = remove_dead_units(before)
    np.testing.assert_allclose(
        after.biases[layer + 1], weights.biases[layer + 1], rtol=1e-5, atol=1e-7
    )
    weights.biases[layer + 1][...] = after.biases[layer + 1]
    assert_equal(after, weights)
    assert_same_function(before, after)


def test_a_positive_constant_stays_before_padding():
    weights = make_parameters(0)
    weights.kernels[1][..., UNIT] = 0
    weights.biases[1][UNIT] = 0.5
    assert_equal(remove_dead_units(weights), weights)


@pytest.mark.parametrize("layer", range(5))
@pytest.mark.parametrize("bias", [-0.5, 0])
def test_a_constant_zero_is_removed_everywhere(layer, bias):
    weights = make_parameters(layer)
    weights.kernels[layer][..., UNIT] = 0
    weights.biases[layer][UNIT] = bias
    after = remove_dead_units(weights)
    weights.biases[layer][UNIT] = 0
    weights.kernels[layer + 1][OUTGOING[layer]] = 0
    assert_equal(after, weights)


@pytest.mark.parametrize("layer", range(1, 5))
def test_a_unit_that_nothing_can_raise_above_zero_is_removed(layer):
    weights = make_parameters(layer)
    incoming = weights.kernels[layer][..., UNIT]
    incoming[...] = -np.abs(incoming)
    weights.biases[layer][UNIT] = -0.1
    after = remove_dead_units(weights)
    assert not after.kernels[layer][..., UNIT].any()
    assert not after.kernels[layer + 1][OUTGOING[layer]].any()
    assert_same_function(weights, after)
    weights.biases[layer][UNIT] = 0.1  # now it can
    assert_equal(remove_dead_units(weights), weights)


def test_in_the_first_layer_it_stays_for_pixels_may_be_normalised():
    weights = make_parameters(0)
    weights.kernels[0][..., UNIT] = -1
    weights.biases[0][UNIT] = -0.1
    assert_equal(remove_dead_units(weights), weights)


@pytest.mark.parametrize("layer", range(5))
def test_a_unit_of_no_use_loses_its_weights_and_bias(layer):
    weights = make_parameters(layer)
    weights.kernels[layer + 1][OUTGOING[layer]] = 0
    after = remove_dead_units(weights)
    weights.kernels[layer][..., UNIT] = 0
    weights.biases[layer][UNIT] = 0
    assert_equal(after, weights)


def test_removal_goes_on_through_the_later_layers():
    weights = make_parameters(0)
    # conv3's 2 is constant, all that conv4's 3 has, all that dense's 5 has.
    weights.kernels[2][..., 2], weights.biases[2][2] = 0, 2
    weights.kernels[3][..., 3], weights.biases[3][3] = 0, -1
    weights.kernels[3][1, 2, 2, 3] = 3  # relu(2 * 3 - 1) = 5
    weights.kernels[4][:, 5], weights.biases[4][5] = 0, -4
    weights.kernels[4][[3, 64 * 35 + 3], 5] = 1  # relu(5 + 5 - 4) = 6
    after = remove_dead_units(weights)
    np.testing.assert_allclose(
        after.biases[5],
        weights.biases[5] + 6 * weights.kernels[5][5],
        rtol=1e-6,
        atol=1e-8,
    )
    assert not after.biases[2][2] and not after.kernels[3][:, :, 2].any()
    assert not after.biases[3][3] and not after.kernels[4][3::64].any()
    assert not after.biases[4][5] and not after.kernels[5][5].any()
    assert_same_function(weights, after)


def test_removal_goes_on_through_the_earlier_layers():
    weights = make_parameters(0)
    # dense's 5 is useless; it is all that conv4's 3 feeds, and so on.
    weights.kernels[5][5] = 0
    for kernel, unit, following in (
        (4, np.s_[3::64], 5),
        (3, np.s_[:, :, 2], 3),
        (2, np.s_[:, :, 4], 2),
        (1, np.s_[:, :, 1], 4),
    ):
        only = weights.kernels[kernel][unit][..., following].copy()
        weights.kernels[kernel][unit] = 0
        weights.kernels[kernel][unit][..., following] = only
    after = remove_dead_units(weights)
    for layer, unit in enumerate((1, 4, 2, 3, 5)):
        weights.kernels[layer][..., unit] = 0
        weights.biases[layer][unit] = 0
    assert_equal(after, weights)


def test_a_constant_before_padding_goes_if_what_it_feeds_goes():
    weights = make_parameters(0)
    # conv1's 1 is constant and feeds conv2's 7, which becomes constant too.
    weights.kernels[0][..., 1], weights.biases[0][1] = 0, 1
    weights.kernels[1][..., UNIT], weights.biases[1][UNIT] = 0, 0
    weights.kernels[1][0, 0, 1, UNIT] = 0.5
    kept = remove_dead_units(weights)
    assert kept.biases[1][UNIT] == 0.5 and not kept.kernels[1][..., UNIT].any()
    np.testing.assert_array_equal(kept.kernels[2], weights.kernels[2])
    assert_same_function(weights, kept)
    weights.kernels[2][:, :, UNIT, 1:] = 0
    weights.kernels[3][:, :, 0] = 0  # conv3's 0, all that it feeds, is of no use
    gone = remove_dead_units(weights)
    assert not gone.biases[1][UNIT] and not gone.kernels[2][:, :, UNIT].any()


def test_a_bias_that_is_all_but_cancelled_is_zero():
    weights = make_parameters(0)
    weights.kernels[4][:, UNIT], weights.biases[4][UNIT] = 0, 1
    weights.kernels[5][UNIT] = -weights.biases[5]
    after = remove_dead_units(weights)
    assert not after.biases[5].any()
    assert not np.signbit(after.biases[5]).any()
    weights.biases[4][UNIT] = 1e-30
    weights.kernels[5][UNIT], weights.biases[5][:] = 1e-10, 0  # 1e-40 is denormal
    assert not remove_dead_units(weights).biases[5].any()


def test_dead_units_are_found():
    def count(parameters: Parameters) -> dict[str, int]:
        dead = find_dead_units(parameters)
        return {name: int(units.sum()) for name, units in dead.items()}

    weights = make_parameters(0)
    assert count(weights) == {LAYERS[i].name: 0 for i in HIDDEN}
    weights.kernels[0][..., :2] = 0
    weights.kernels[1][:, :, 1:3] = 0  # conv1's 1 has neither; 0 to 2 are dead
    weights.kernels[2][:, :, 4] = 0
    weights.kernels[4][64 * 35 + 6] = 0  # one position of many
    weights.kernels[4][5::64] = 0
    weights.kernels[5][[1, 2, 500, 511]] = 0
    assert count(weights) == {
        "conv2d": 3,
        "conv2d_1": 1,
        "conv2d_2": 0,
        "conv2d_3": 1,
        "dense": 4,
    }

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.model.architecture import LAYERS, SHAPES
from shears.model.forward import logits
from shears.model.parameters import SMALLEST, count_zeros, flatten
from shears.pruning.dead_units import dead_unit_counts, remove_dead_units
from shears.runtime.backend import tf
from tests.conftest import make_weights

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


def make_sparse(seed: int, sparsity: float) -> list[np.ndarray]:
    """Draws a sparse network whose signals neither vanish nor explode."""
    rng = np.random.default_rng(seed)
    weights = make_weights(seed, zeros=sparsity)
    for i, array in enumerate(weights):
        if i % 2:
            array[:] = rng.normal(0, 1, array.shape) * (rng.random(array.shape) < 0.7)
        else:
            inputs = (1 - sparsity) * array.size / array.shape[-1]
            array *= np.float32(20 * np.sqrt(2 / max(inputs, 1)))
    return weights


def assert_same_function(before, after):
    old, new = (
        logits(tf.constant(flatten(w)), tf.constant(IMAGES)).numpy()
        for w in (before, after)
    )
    np.testing.assert_allclose(new, old, rtol=0, atol=2e-6 * np.abs(old).max())


def assert_equal(ours, expected):
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def copy(weights):
    return [array.copy() for array in weights]


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
    assert count_zeros(once) >= count_zeros(weights)
    assert_equal(remove_dead_units(once), once)
    for i in range(5):
        fed = once[2 * i].reshape(-1, SHAPES[2 * i][-1]).any(0)
        nexts = np.moveaxis(once[2 * i + 2], -1, 0).reshape(-1, len(fed))
        useful = nexts.any(0)
        assert not (fed & ~useful).any()
        assert not once[2 * i + 1][~useful].any()
        if i != CONV2:
            assert not (~fed & useful).any()


def test_what_comes_back_are_clean_copies():
    weights = make_sparse(0, 0.99)
    weights[2][0, 0, 0, :9] = SMALLEST / 2
    weights[3][:9] = -0.0
    before = copy(weights)
    after = remove_dead_units([np.asfortranarray(array) for array in weights])
    assert_equal(weights, before)
    assert_equal(after, remove_dead_units(weights))
    for array, shape in zip(after, SHAPES, strict=True):
        assert array.shape == shape
        assert array.dtype == np.float32
        assert (np.abs(array[array != 0]) >= SMALLEST).all()
        assert not np.signbit(array[array == 0]).any()


def test_a_network_without_dead_units_stays_as_it_is():
    weights = make_weights(0, zeros=0.2)
    assert_equal(remove_dead_units(weights), weights)


@pytest.mark.parametrize("layer", [0, 2, 3, 4])
def test_a_constant_unit_goes_into_the_next_bias(layer):
    weights = make_weights(layer, zeros=0.2)
    weights[2 * layer][..., UNIT] = 0
    weights[2 * layer + 1][UNIT] = 0.5
    before = copy(weights)
    outgoing = weights[2 * layer + 2][OUTGOING[layer]]
    positions = tuple(range(outgoing.ndim - 1))
    weights[2 * layer + 3] += 0.5 * outgoing.sum(positions)
    outgoing[...] = 0
    weights[2 * layer + 1][UNIT] = 0
    after = remove_dead_units(before)
    np.testing.assert_allclose(
        after[2 * layer + 3], weights[2 * layer + 3], rtol=1e-5, atol=1e-7
    )
    weights[2 * layer + 3] = after[2 * layer + 3]
    assert_equal(after, weights)
    assert_same_function(before, after)


def test_a_positive_constant_stays_before_padding():
    weights = make_weights(0)
    weights[2][..., UNIT] = 0
    weights[3][UNIT] = 0.5
    assert_equal(remove_dead_units(weights), weights)


@pytest.mark.parametrize("layer", range(5))
@pytest.mark.parametrize("bias", [-0.5, 0])
def test_a_constant_zero_is_removed_everywhere(layer, bias):
    weights = make_weights(layer)
    weights[2 * layer][..., UNIT] = 0
    weights[2 * layer + 1][UNIT] = bias
    after = remove_dead_units(weights)
    weights[2 * layer + 1][UNIT] = 0
    weights[2 * layer + 2][OUTGOING[layer]] = 0
    assert_equal(after, weights)


@pytest.mark.parametrize("layer", range(1, 5))
def test_a_unit_that_nothing_can_raise_above_zero_is_removed(layer):
    weights = make_weights(layer)
    incoming = weights[2 * layer][..., UNIT]
    incoming[...] = -np.abs(incoming)
    weights[2 * layer + 1][UNIT] = -0.1
    after = remove_dead_units(weights)
    assert not after[2 * layer][..., UNIT].any()
    assert not after[2 * layer + 2][OUTGOING[layer]].any()
    assert_same_function(weights, after)
    weights[2 * layer + 1][UNIT] = 0.1  # now it can
    assert_equal(remove_dead_units(weights), weights)


def test_in_the_first_layer_it_stays_for_pixels_may_be_normalised():
    weights = make_weights(0)
    weights[0][..., UNIT] = -1
    weights[1][UNIT] = -0.1
    assert_equal(remove_dead_units(weights), weights)


@pytest.mark.parametrize("layer", range(5))
def test_a_unit_of_no_use_loses_its_weights_and_bias(layer):
    weights = make_weights(layer)
    weights[2 * layer + 2][OUTGOING[layer]] = 0
    after = remove_dead_units(weights)
    weights[2 * layer][..., UNIT] = 0
    weights[2 * layer + 1][UNIT] = 0
    assert_equal(after, weights)


def test_removal_goes_on_through_the_later_layers():
    weights = make_weights(0)
    # conv3's 2 is constant, all that conv4's 3 has, all that dense's 5 has.
    weights[4][..., 2], weights[5][2] = 0, 2
    weights[6][..., 3], weights[7][3] = 0, -1
    weights[6][1, 2, 2, 3] = 3  # relu(2 * 3 - 1) = 5
    weights[8][:, 5], weights[9][5] = 0, -4
    weights[8][[3, 64 * 35 + 3], 5] = 1  # relu(5 + 5 - 4) = 6
    after = remove_dead_units(weights)
    np.testing.assert_allclose(
        after[11], weights[11] + 6 * weights[10][5], rtol=1e-6, atol=1e-8
    )
    assert not after[5][2] and not after[6][:, :, 2].any()
    assert not after[7][3] and not after[8][3::64].any()
    assert not after[9][5] and not after[10][5].any()
    assert_same_function(weights, after)


def test_removal_goes_on_through_the_earlier_layers():
    weights = make_weights(0)
    weights[10][5] = 0  # dense's 5 is of no use, all that conv4's 3 goes to, and so on
    for kernel, unit, following in (
        (8, np.s_[3::64], 5),
        (6, np.s_[:, :, 2], 3),
        (4, np.s_[:, :, 4], 2),
        (2, np.s_[:, :, 1], 4),
    ):
        only = weights[kernel][unit][..., following].copy()
        weights[kernel][unit] = 0
        weights[kernel][unit][..., following] = only
    after = remove_dead_units(weights)
    for layer, unit in enumerate((1, 4, 2, 3, 5)):
        weights[2 * layer][..., unit] = 0
        weights[2 * layer + 1][unit] = 0
    assert_equal(after, weights)


def test_a_constant_before_padding_goes_if_what_it_feeds_goes():
    weights = make_weights(0)
    weights[0][..., 1], weights[1][1] = 0, 1  # feeds conv2's 7, which becomes constant
    weights[2][..., UNIT], weights[3][UNIT] = 0, 0
    weights[2][0, 0, 1, UNIT] = 0.5
    kept = remove_dead_units(weights)
    assert kept[3][UNIT] == 0.5 and not kept[2][..., UNIT].any()
    np.testing.assert_array_equal(kept[4], weights[4])
    assert_same_function(weights, kept)
    weights[4][:, :, UNIT, 1:] = 0
    weights[6][:, :, 0] = 0  # conv3's 0, all that it feeds, is of no use
    gone = remove_dead_units(weights)
    assert not gone[3][UNIT] and not gone[4][:, :, UNIT].any()


def test_a_bias_that_is_all_but_cancelled_is_zero():
    weights = make_weights(0)
    weights[8][:, UNIT], weights[9][UNIT] = 0, 1
    weights[10][UNIT] = -weights[11]
    after = remove_dead_units(weights)
    assert not after[11].any()
    assert not np.signbit(after[11]).any()
    weights[9][UNIT] = 1e-30
    weights[10][UNIT], weights[11][:] = 1e-10, 0  # 1e-40 is denormal
    assert not remove_dead_units(weights)[11].any()


def test_dead_units_are_counted():
    weights = make_weights(0)
    assert dead_unit_counts(weights) == {layer.name: 0 for layer in LAYERS[:-1]}
    weights[0][..., :2] = 0
    weights[2][:, :, 1:3] = SMALLEST / 2  # conv1's 1 has neither; 0 to 2 are dead
    weights[4][:, :, 4] = 0
    weights[8][64 * 35 + 6] = 0  # one position of many
    weights[8][5::64] = 0
    weights[10][[1, 2, 500, 511]] = 0
    assert dead_unit_counts(weights) == {
        "conv2d": 3,
        "conv2d_1": 1,
        "conv2d_2": 0,
        "conv2d_3": 1,
        "dense": 4,
    }

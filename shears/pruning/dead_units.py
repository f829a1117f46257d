"""Dead units: weights that no output depends on, and constants that a bias can be.

A unit is a channel of a convolution or a neuron of the dense hidden layer. Pruning
leaves units without outgoing weights (what comes in is of no use) and units without
incoming weights (what goes out is always relu(bias)). Removing them costs no accuracy
and frees nonzeros for where they matter.
"""

from collections.abc import Sequence

import numpy as np

from shears.model.architecture import HIDDEN, LAYERS
from shears.model.parameters import clean, flatten, unflatten


def _incoming(arrays: Sequence[np.ndarray], index: int) -> np.ndarray:
    """Views a hidden layer's kernel as (inputs, units)."""
    return arrays[2 * index].reshape(-1, LAYERS[index].kernel[-1])


def _outgoing(arrays: Sequence[np.ndarray], index: int) -> np.ndarray:
    """Views the kernel after a hidden layer as (positions, units, next units).

    Channels come last in the flattened input of the dense layer too: its positions are
    the 6 x 6 of the last pooling, those of a convolution its 3 x 3 window.
    """
    following = LAYERS[index + 1].kernel[-1]
    return arrays[2 * index + 2].reshape(-1, LAYERS[index].kernel[-1], following)


def remove_dead_units(weights: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Zeroes what dead units have, the network's function unchanged up to rounding.

    A unit without incoming weights is the constant relu(bias), also after max pooling.
    One behind a ReLU with no incoming weight and no bias above 0 is the constant 0.
    The next layer's bias takes over a constant's contribution, computed in float64 and
    rounded once. Not if the next layer pads with zeros, which see no constant at the
    border: there the unit stays, unless the constant is 0. A unit without outgoing
    weights loses its incoming ones and its bias.

    The number of nonzeros never grows: a bias that becomes nonzero does so for at least
    one outgoing weight that becomes zero. Removing a constant can only make constants
    of later units, and removing a useless unit only make earlier ones useless, so one
    sweep forward and one back leave nothing to remove.

    With dropout the function differs in training: a bias is not dropped.

    Args:
        weights: The twelve arrays, float32, finite.

    Returns:
        Copies, float32, as `clean` makes them.
    """
    arrays = unflatten(flatten(clean(weights)))
    for i in HIDDEN:
        outgoing = _outgoing(arrays, i)
        constant = ~_incoming(arrays, i).any(0)
        if i > 0:  # behind a ReLU
            silent = _incoming(arrays, i).max(0) <= 0
            constant |= silent & (arrays[2 * i + 1] <= 0)
        value = np.maximum(arrays[2 * i + 1], 0).astype(np.float64)
        if LAYERS[i + 1].padding == "SAME":
            constant &= value == 0
        contribution = (value[constant, None] * outgoing[:, constant]).sum((0, 1))
        (arrays[2 * i + 3],) = clean([arrays[2 * i + 3] + contribution])
        outgoing[:, constant] = 0
    for i in reversed(HIDDEN):  # the constants just taken over, too
        useless = ~_outgoing(arrays, i).any((0, 2))
        _incoming(arrays, i)[:, useless] = 0
        arrays[2 * i + 1][useless] = 0
    return arrays


def dead_unit_counts(weights: Sequence[np.ndarray]) -> dict[str, int]:
    """Counts the units that have no incoming or no outgoing weights.

    Args:
        weights: The twelve arrays; denormals count as zero.

    Returns:
        The number for each hidden layer, by its name in `LAYERS`.
    """
    arrays = clean(weights)
    return {
        LAYERS[i].name: int(
            np.count_nonzero(
                ~_incoming(arrays, i).any(0) | ~_outgoing(arrays, i).any((0, 2))
            )
        )
        for i in HIDDEN
    }

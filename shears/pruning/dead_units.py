"""Dead units: weights that no output depends on, and constants that a bias can be.

A unit is a channel of a convolution or a neuron of the dense hidden layer. Pruning
leaves units without outgoing weights (what comes in is useless) and units without
incoming weights (what goes out is always relu(bias)). Removing them costs no accuracy
and frees nonzeros for where they matter.
"""

import numpy as np

from shears.model.architecture import HIDDEN, LAYERS
from shears.model.parameters import Parameters, flush_denormals


def remove_dead_units(parameters: Parameters) -> Parameters:
    """Zeroes the weights of dead units; the function is unchanged up to rounding.

    A unit without incoming weights is the constant relu(bias), also after max pooling.
    One after a ReLU with no incoming weight and no bias above 0 is the constant 0. The
    next layer's bias takes over a constant's contribution, computed in float64 and
    rounded once. Not if the next layer pads with zeros, which see no constant at the
    border: there the unit stays, unless the constant is 0. A unit without outgoing
    weights loses its incoming ones and its bias.

    The number of nonzeros never grows: a bias that becomes nonzero does so for at least
    one outgoing weight that becomes zero. Removing a constant can only make constants
    of later units, and removing a useless unit can only make earlier ones useless, so
    one sweep forward and one back leave nothing to remove.

    With dropout the function differs in training: a bias is not dropped.

    Args:
        parameters: float32, finite.

    Returns:
        A copy, float32, without denormals.
    """
    result = parameters.without_denormals()
    for i in HIDDEN:
        incoming, outgoing = result.incoming(i), result.outgoing(i)
        bias, next_bias = result.biases[i], result.biases[i + 1]
        constant = ~incoming.any(0)
        if i > 0:  # inputs come from a ReLU
            silent = incoming.max(0) <= 0
            constant |= silent & (bias <= 0)
        value = np.maximum(bias, 0).astype(np.float64)
        if LAYERS[i + 1].padding == "SAME":
            constant &= value == 0
        contribution = (value[constant, None] * outgoing[:, constant]).sum((0, 1))
        next_bias[...] = flush_denormals(next_bias + contribution)
        outgoing[:, constant] = 0
    for i in reversed(HIDDEN):  # the constants just taken over, too
        useless = ~result.outgoing(i).any((0, 2))
        result.incoming(i)[:, useless] = 0
        result.biases[i][useless] = 0
    return result


def find_dead_units(parameters: Parameters) -> dict[str, np.ndarray]:
    """Finds the units that have no incoming or no outgoing weights.

    Returns:
        For each hidden layer, by its name in `LAYERS`, a bool for each unit.
    """
    return {
        LAYERS[i].name: ~parameters.incoming(i).any(0)
        | ~parameters.outgoing(i).any((0, 2))
        for i in HIDDEN
    }

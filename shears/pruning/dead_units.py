"""Dead units: no output depends on them, or their own output is constant.

A unit is a channel of a convolution or a neuron of the dense hidden layer. Pruning
leaves units without outgoing weights (their incoming weights are useless) and units
without incoming weights (their output is always relu(bias)). Removing them costs no
accuracy and frees nonzero weights for places where they matter.
"""

import numpy as np

from shears.model.architecture import HIDDEN, LAYERS
from shears.model.parameters import Parameters, flush_denormals


def remove_dead_units(parameters: Parameters) -> Parameters:
    """Zeroes the weights of dead units; the function is unchanged up to rounding.

    A unit without incoming weights has the constant output relu(bias), also after max
    pooling. If its inputs come from a ReLU and neither an incoming weight nor its bias
    is above 0, its output is the constant 0. The constant's contribution moves to the
    next layer's bias, computed in float64 and rounded once. If the next layer pads with
    zeros, its outputs at the border do not see the constant, so the unit stays unless
    the constant is 0. A unit without outgoing weights loses its incoming ones and its
    bias.

    The number of nonzeros never grows: for each bias that becomes nonzero, at least one
    outgoing weight becomes zero. Removing a constant can only make later units
    constant, and removing a useless unit can only make earlier ones useless. So one
    sweep forward and one back leave nothing to remove.

    During training with dropout the function does change: a bias is never dropped.

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
    for i in reversed(HIDDEN):  # including the constants just moved
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
        LAYERS[i].name: ~np.any(parameters.incoming(i), 0)
        | ~np.any(parameters.outgoing(i), (0, 2))
        for i in HIDDEN
    }

"""Structured pruning: whole units, and as few single weights as an exact count needs.

A unit is a channel of a convolution or a neuron of the dense hidden layer. With it go
its incoming weights, its bias and its outgoing weights.
"""

from collections.abc import Sequence

import numpy as np

from shears.model.architecture import HIDDEN, PARAMETERS
from shears.model.parameters import Parameters
from shears.pruning.allocation import Allocation, score_units


def prune_units(
    saliency: Parameters,
    zeros: int,
    allocation: Allocation,
    *,
    least: Sequence[int],
    densities: Sequence[float] = (),
) -> Parameters:
    """Prunes the units with the lowest scores, while they fit into a number of zeros.

    A unit's saliency is the mean of its incoming weights' (Li et al. 2017, section 3.1,
    divided by the inputs that are left); what is already pruned counts as 0. The first
    unit with more weights than may still go loses its least salient ones instead. It is
    among the first to go at the next mask update.

    Args:
        saliency: float64; negative where already pruned.
        zeros: How many weights are pruned in all, at least as many as already are.
        allocation: How units of different layers compare (`score_units`).
        least: How many weights of each kernel stay in any case. A unit that these need
            stays.
        densities: For "ratio".

    Returns:
        A copy, negative where pruned. There are fewer than `zeros` only if `least`
        keeps all units that are left, or a bias.
    """
    result, places = saliency.copy(), Parameters(np.arange(PARAMETERS))
    pruned = result.vector < 0
    room = zeros - int(np.count_nonzero(pruned))
    left = [int(np.count_nonzero(kernel >= 0)) for kernel in saliency.kernels]
    means = [_mean_saliency(saliency.incoming(i)) for i in HIDDEN]
    scores = score_units(allocation, means, densities)
    units = [(i, unit) for i in HIDDEN for unit in range(len(means[i]))]
    for place in np.argsort(np.concatenate(scores), kind="stable"):
        layer, unit = units[place]
        incoming, outgoing = (
            weights[~pruned[weights]]
            for weights in (
                places.incoming(layer)[:, unit],
                places.outgoing(layer)[:, unit].ravel(),
            )
        )
        if (
            left[layer] - len(incoming) < least[layer]
            or left[layer + 1] - len(outgoing) < least[layer + 1]
        ):
            continue
        weights = np.concatenate([incoming, outgoing])
        bias = places.biases[layer][unit]
        count = len(weights) + (not pruned[bias])
        if count > room:
            order = np.argsort(saliency.vector[weights], kind="stable")
            pruned[weights[order[:room]]] = True
            break
        pruned[weights] = pruned[bias] = True
        left[layer] -= len(incoming)
        left[layer + 1] -= len(outgoing)
        room -= count
    result.vector[pruned] = -1
    return result


def _mean_saliency(incoming: np.ndarray) -> np.ndarray:
    """Averages (inputs, units) over the inputs that still have a weight."""
    inputs = np.count_nonzero((incoming >= 0).any(1))
    return np.maximum(incoming, 0).sum(0) / max(1, inputs)

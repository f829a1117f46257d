"""A floor of live units: the weights that must stay for units to stay alive."""

import math

import numpy as np

from shears.model.architecture import CLASSES, HIDDEN, LAYERS, PARAMETERS
from shears.model.parameters import HIDDEN_UNITS, Parameters
from shears.pruning.dead_units import remove_dead_units


def protect_units(
    saliency: Parameters, parameters: Parameters, fraction: float
) -> Parameters:
    """Chooses an incoming and an outgoing weight of the most salient units.

    A unit's saliency is the sum of its incoming weights'. Protected weights lead from
    the image to the output through protected units. Where inputs come from a ReLU, the
    incoming one is positive, unless the unit has none and a positive bias. So none of
    these units is dead (`dead_units.remove_dead_units`).

    Args:
        saliency: float64; negative where already pruned.
        parameters: float32, the weights.
        fraction: How many of each hidden layer's units are protected at least, rounded
            up; all live ones, if there are fewer.

    Returns:
        bool, whether a weight is protected.
    """
    left = Parameters(np.where(saliency.vector < 0, np.float32(0), parameters.vector))
    used = remove_dead_units(left)
    # The units of each layer that are protected, after the image's channels.
    chosen = [np.ones(LAYERS[0].kernel[-2], bool)]
    for i, units in zip(HIDDEN, HIDDEN_UNITS, strict=True):
        live = used.incoming(i).any(0) & used.outgoing(i).any((0, 2))
        total = np.maximum(saliency.incoming(i), 0).sum(0)
        order = np.argsort(np.where(live, -total, 1), kind="stable")
        chosen.append(np.zeros(units, bool))
        chosen[-1][order[: min(math.ceil(fraction * units), live.sum())]] = True
    chosen.append(np.ones(CLASSES, bool))

    # (positions, inputs, outputs) of each kernel: channels come last, flattened or not.
    scores, from_relu = [], []
    for i, layer in enumerate(LAYERS):
        shape = (-1, len(chosen[i]), layer.kernel[-1])
        weights = used.kernels[i].reshape(shape)
        score = np.where(weights != 0, saliency.kernels[i].reshape(shape), -1)
        scores.append(score)
        if i > 0:
            positive = (weights > 0) | ~(weights > 0).any((0, 1))
            score = np.where(positive, score, -1)
        from_relu.append(score)
    _close(chosen, [s.max(0) for s in scores], [s.max(0) for s in from_relu])

    protected = Parameters(np.zeros(PARAMETERS, bool))
    for i in HIDDEN:
        kept = np.flatnonzero(chosen[i + 1])
        score = np.where(chosen[i][:, None], from_relu[i], -1)[..., kept]
        score = score.reshape(-1, len(kept))
        fed = score.max(0) >= 0
        protected.incoming(i)[score.argmax(0)[fed], kept[fed]] = True
        score = np.where(chosen[i + 2], scores[i + 1], -1)[:, kept].transpose(1, 0, 2)
        best = score.reshape(len(kept), -1).argmax(1)
        position, output = np.unravel_index(best, score.shape[1:])
        protected.outgoing(i)[position, kept, output] = True
    return protected


def _close(
    chosen: list[np.ndarray], scores: list[np.ndarray], from_relu: list[np.ndarray]
) -> None:
    """Adds units until each has a chosen input and a chosen output.

    A unit with a constant output may have no input, so that it needs none.

    Args:
        chosen: Whether a unit is chosen, layer by layer, between image and output.
        scores: For each kernel, (inputs, outputs): negative where no weight is left.
        from_relu: The same, of the weights that keep an output alive.
    """
    before = -1
    while before < (before := sum(int(units.sum()) for units in chosen)):
        for i in HIDDEN:
            inputs, outputs = chosen[i], chosen[i + 1]
            fed = (from_relu[i] >= 0).any(0)
            alone = outputs & fed & ~(from_relu[i][inputs] >= 0).any(0)
            inputs[from_relu[i].argmax(0)[alone]] = True
            inputs, outputs = outputs, chosen[i + 2]
            alone = inputs & ~(scores[i + 1][:, outputs] >= 0).any(1)
            outputs[scores[i + 1].argmax(1)[alone]] = True

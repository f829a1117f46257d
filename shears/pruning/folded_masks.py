"""Masks of the network that batch norm is folded into, made on training's vector."""

from collections.abc import Callable

import numpy as np

from shears.model.architecture import HIDDEN, PARAMETERS
from shears.model.batch_norm import SCALES, Folding, factors_of, fold_statistics
from shears.model.parameters import flatten, unflatten
from shears.pruning.schedule import MakeMask, MaskUpdate


def folded_masks(folding: Folding, make: MakeMask) -> MakeMask:
    """Lets masks be made for the network that is folded, on training's vector.

    So magnitude is that of the weights that will be submitted, and dead units are
    removed exactly. Scales and shifts stay as they are: the batch's statistics make
    up for what was cut. A bias is taken over where nothing is normalised: of the
    last layer, and of a unit whose kernel is zero.
    """

    def make_mask(
        vector: np.ndarray, gradient: Callable[[], np.ndarray], update: MaskUpdate
    ) -> tuple[np.ndarray, np.ndarray]:
        statistics = folding.measure(vector)

        def folded_gradient() -> np.ndarray:
            slopes = unflatten(gradient()[:PARAMETERS].copy())
            for i, factors in enumerate(factors_of(vector, statistics)):
                slopes[2 * i] /= np.where(factors == 0, 1, factors)
            return flatten(slopes)

        made, mask = make(fold_statistics(vector, statistics), folded_gradient, update)
        kept = unflatten(made * mask)
        arrays = unflatten(vector[:PARAMETERS].copy())
        for i in HIDDEN:
            kernel, bias = kept[2 * i : 2 * i + 2]
            arrays[2 * i][kernel == 0] = 0  # what is regrown begins there
            empty = ~kernel.reshape(-1, kernel.shape[-1]).any(0)
            arrays[2 * i + 1][empty] = bias[empty]
        return (
            np.concatenate([flatten([*arrays[:-2], *kept[-2:]]), vector[PARAMETERS:]]),
            np.concatenate([mask, np.ones(SCALES, np.float32)]),
        )

    return make_mask

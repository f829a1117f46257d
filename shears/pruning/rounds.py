"""A round of pruning: the weights it starts from, and the masks made in it."""

from collections.abc import Mapping, Sequence

import numpy as np

from shears.model.architecture import HIDDEN, LAYERS, initial_weights
from shears.model.parameters import count_zeros, flatten, unflatten
from shears.pruning.masks import Pruner, shuffle_mask, zeros_for
from shears.pruning.schedule import MaskUpdate, mask_updates
from shears.runtime.errors import UserError

SEEDLING = 1e-6  # a weight that is as good as zero


def plan_round(
    files: Mapping[str, Sequence[np.ndarray]], settings: Mapping, *, steps: int
) -> tuple[list[np.ndarray], dict]:
    """Plans a round as its method says.

    Args:
        files: "previous": the twelve arrays it starts from (the baseline's or the last
            round's); perhaps "mask": a pruned candidate's, whose mask is taken.
        settings: sparsity, recipe, start ("trained" or "initial"), initial_seed,
            shuffled, and what `Pruner` and `mask_updates` are told; config.yaml says
            what they mean.
        steps: Steps of the round.

    Returns:
        The twelve arrays to start from, and what `train` is told about masks.

    Raises:
        UserError: More weights are zero already than the sparsity allows, or a mask is
            none for batch norm.
    """
    zeros, previous = zeros_for(settings["sparsity"]), files["previous"]
    folded = len(HIDDEN) if settings["recipe"]["batch_norm"] else 1
    given = {**settings, "folded": folded}
    pruner = Pruner(**{name: given[name] for name in Pruner.__dataclass_fields__})
    if "mask" not in files and settings["start"] == "trained":
        updates = mask_updates(
            count_zeros(previous),
            zeros,
            steps=steps,
            ramp=settings["ramp"],
            updates=settings["mask_updates"],
            regrowth=settings["regrowth"],
        )
        return list(previous), {"mask_updates": updates, "make_mask": pruner}

    # One mask, known before the first step.
    update = MaskUpdate(zeros, 0.0)
    if "mask" in files:
        mask = (flatten(files["mask"]) != 0).astype(np.float32)
        if settings["shuffled"]:
            mask = shuffle_mask(mask, settings["seed"], folded)
    else:  # weight rewinding (Frankle and Carbin 2019, section 1)
        _, mask = pruner(flatten(previous), _no_gradient, update)
    _check_biases(mask, settings)
    start = previous
    if settings["start"] == "initial":
        start = initial_weights(settings["initial_seed"])
    vector = flatten(start)
    # Zeros that the mask keeps: training moves them but in dead units, and they would
    # be counted.
    vector = np.where((vector == 0) & (mask == 1), SEEDLING, vector).astype(np.float32)
    return unflatten(vector), {
        "mask_updates": {0: update},
        "make_mask": lambda vector, gradient, update: (vector, mask),
    }


def _check_biases(mask: np.ndarray, settings: Mapping) -> None:
    """Checks that a mask has a bias where batch norm will be folded into one."""
    arrays = unflatten(mask)
    for i in HIDDEN if settings["recipe"]["batch_norm"] else ():
        kernel, bias = arrays[2 * i : 2 * i + 2]
        found = np.count_nonzero(kernel.reshape(-1, len(bias)).any(0) & (bias == 0))
        if found:
            raise UserError(
                f"batch_norm: found a mask with {found} units of {LAYERS[i].name} that "
                "have weights and no bias, expected one made with batch_norm: give "
                "this method and its mask_of the same recipe"
            )


def _no_gradient() -> np.ndarray:
    """Stands for the gradient where there is none yet; `check_meaning` refuses it."""
    raise NotImplementedError

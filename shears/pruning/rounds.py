"""A round of pruning: the weights it starts from, and its masks."""

from typing import Annotated

import numpy as np
from pydantic import Field

from shears.model.architecture import HIDDEN, LAYERS
from shears.model.parameters import Parameters, initial_parameters
from shears.pruning.mask_plan import MaskPlan, MaskUpdate, Snapshot
from shears.pruning.masks import MaskSettings, Pruner, shuffle_mask, zeros_for
from shears.pruning.schedule import schedule_masks
from shears.runtime.errors import UserError
from shears.runtime.settings import Seed

TINY_WEIGHT = 1e-6  # in place of a weight that is zero


class RoundSpec(MaskSettings):
    """One round of pruning."""

    sparsity: Annotated[float, Field(gt=0, lt=1)]
    """Fraction of all parameters that are zero after the round."""

    seed: Annotated[int, Field(ge=0)]
    """Seed of the round's masks and training."""

    initial_seed: Seed
    """Seed of the initial weights, for start: initial."""


def plan_round(
    previous: Parameters,
    spec: RoundSpec,
    *,
    steps: int,
    batch_norm: bool,
    mask_source: Parameters | None = None,
) -> tuple[Parameters, MaskPlan]:
    """Plans a round.

    Args:
        previous: What the round starts from: the baseline or the previous round.
        spec: The round.
        steps: Steps of the round.
        batch_norm: Whether batch norm is folded into the hidden layers.
        mask_source: A pruned candidate whose mask is used, if any.

    Returns:
        The parameters to start from, and the masks.

    Raises:
        UserError: More weights are already zero than the sparsity allows, or the mask
            does not suit batch norm.
    """
    zeros = zeros_for(spec.sparsity)
    folded_layers = len(HIDDEN) if batch_norm else 1
    pruner = Pruner(spec, spec.seed, folded_layers)
    if mask_source is None and spec.start == "trained":
        updates = schedule_masks(
            previous.count_zeros(),
            zeros,
            steps=steps,
            end_step=spec.end_step,
            update_count=spec.update_count,
            drop_fraction=spec.drop_fraction,
            dynamic=spec.dynamic,
        )
        return previous, MaskPlan(updates, pruner, spec.dynamic)

    # One mask, known before the first step.
    update = MaskUpdate(zeros)
    if mask_source is not None:
        mask = Parameters((mask_source.vector != 0).astype(np.float32))
        if spec.shuffled:
            mask = shuffle_mask(mask, spec.seed, folded_layers)
    else:  # weight rewinding (Frankle and Carbin 2019, section 1)
        whole = Parameters(np.ones_like(previous.vector))
        _, mask = pruner(Snapshot(previous, whole, _no_gradient), update)
    if batch_norm:
        _check_biases(mask)
    start = previous
    if spec.start == "initial":
        start = initial_parameters(spec.initial_seed)
    # The mask may keep weights that are zero. Training changes them, but not in dead
    # units, where they would add to the zeros.
    vector = np.where(
        (start.vector == 0) & (mask.vector == 1), TINY_WEIGHT, start.vector
    )
    return Parameters(vector.astype(np.float32)), MaskPlan(
        {0: update}, lambda snapshot, update: (snapshot.weights, mask)
    )


def _check_biases(mask: Parameters) -> None:
    """Checks that every hidden unit with weights has a bias to fold batch norm into."""
    for i in HIDDEN:
        count = np.count_nonzero(mask.incoming(i).any(0) & (mask.biases[i] == 0))
        if count:
            raise UserError(
                f"batch_norm: found a mask with {count} units of {LAYERS[i].name} that "
                "have weights but no bias, expected one made with batch_norm: give "
                "this method and its mask_of the same recipe"
            )


def _no_gradient() -> Parameters:
    """Stands in for a gradient; `plan` refuses methods that would need one here."""
    raise NotImplementedError

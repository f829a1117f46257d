"""The schedule of a round's masks: how sparsity rises and drop and grow declines."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shears.model.parameters import Parameters

GROWTH_END = 0.75  # fraction of a round after which nothing is dropped and grown


def cubic_sparsity(progress: float, start: float, end: float) -> float:
    """Computes the sparsity of gradual pruning (Zhu and Gupta 2017, eq. 1).

    Args:
        progress: Fraction of the pruning steps taken, 0 to 1.
        start: Sparsity at progress 0.
        end: Sparsity at progress 1.

    Returns:
        end + (start - end) (1 - progress)^3.
    """
    return end + (start - end) * (1 - progress) ** 3


class MaskUpdate(NamedTuple):
    """What a new mask is to be.

    Attributes:
        zeros: How many weights it prunes.
        drop_fraction: Fraction of the kept weights that give way to pruned ones.
    """

    zeros: int
    drop_fraction: float = 0.0


# (weights, the loss's gradient when called, what the mask is to be) -> the weights and
# the mask to go on with.
MakeMask = Callable[
    [Parameters, Callable[[], Parameters], MaskUpdate], tuple[Parameters, Parameters]
]


@dataclass(frozen=True)
class MaskPlan:
    """The masks of a round.

    Attributes:
        updates: The steps before which a new mask is made, and what it is to be.
        make_mask: Makes it.
    """

    updates: Mapping[int, MaskUpdate]
    make_mask: MakeMask


def schedule_masks(
    start: int,
    end: int,
    *,
    steps: int,
    end_step: float,
    update_frequency: int,
    drop_fraction: float = 0.0,
) -> dict[int, MaskUpdate]:
    """Lays out a round's masks.

    Args:
        start: Zeros at the beginning of the round.
        end: Zeros at the end of it, exactly.
        steps: Steps of the round.
        end_step: Where the last zeros are pruned, as a fraction of the round's steps;
            0 prunes all of them before the first step (one-shot).
        update_frequency: How often the mask is updated up to there.
        drop_fraction: Fraction of the kept weights that the first update drops; it
            falls like half a cosine, to 0 at `GROWTH_END` (RigL; Evci et al. 2020,
            section 3). Updates go on up to there, at the same intervals.

    Returns:
        {step: update}, both rising; the first step is 0, the last has `end` zeros.
    """
    last = min(int(end_step * steps), steps - 1)
    at = [round(last * i / update_frequency) for i in range(update_frequency + 1)]
    at = sorted(set(at))
    # At step 0 an update to the zeros there are would be none: the first rise is there.
    zeros = {
        step: round(cubic_sparsity((i + 1) / len(at), start, end))
        for i, step in enumerate(at)
    }
    stop = int(GROWTH_END * steps)
    if drop_fraction:
        every = max(1, round(stop / update_frequency))
        for step in range(last + every, stop, every):
            zeros[step] = end

    def declined(step: int) -> float:
        if step >= stop:
            return 0.0
        return drop_fraction / 2 * (1 + math.cos(math.pi * step / stop))

    return {step: MaskUpdate(count, declined(step)) for step, count in zeros.items()}

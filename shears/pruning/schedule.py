"""What changes with the step: the learning rate and, inside a round, the sparsity."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np


def cubic_sparsity(progress: float, start: float, end: float) -> float:
    """Computes the sparsity of gradual pruning (Zhu and Gupta 2017, eq. 1).

    Args:
        progress: Share of the pruning steps taken, 0 to 1.
        start: Sparsity at progress 0.
        end: Sparsity at progress 1.

    Returns:
        end + (start - end) (1 - progress)^3.
    """
    return end + (start - end) * (1 - progress) ** 3


class MaskUpdate(NamedTuple):
    """What a new mask is to be.

    Attributes:
        zeros: How many weights it cuts.
        exchanged: Share of the kept weights that give way to pruned ones.
    """

    zeros: int
    exchanged: float


# (weights (W,), the loss's gradient (W,) when called, what the mask is to be) -> the
# weights and mask (W,) to go on with.
MakeMask = Callable[
    [np.ndarray, Callable[[], np.ndarray], MaskUpdate], tuple[np.ndarray, np.ndarray]
]


def mask_updates(
    start: int,
    end: int,
    *,
    steps: int,
    ramp: float,
    updates: int,
    regrowth: float = 0.0,
    regrowth_until: float = 0.75,
) -> dict[int, MaskUpdate]:
    """Lays out a round's masks.

    Args:
        start: Zeros at the beginning of the round.
        end: Zeros at the end of it, exactly.
        steps: Steps of the round.
        ramp: Share of the round over which sparsity rises, 0 (one cut) to 1.
        updates: Masks to make on the way.
        regrowth: Share of the kept weights exchanged at the first mask; it falls like
            half a cosine (RigL; Evci et al. 2020, section 3).
        regrowth_until: Share of the round at which it is 0; masks are made up to there.

    Returns:
        {step: update}, both rising; the first step is 0, the last has `end` zeros.
    """
    last = min(int(ramp * steps), steps - 1)
    at = sorted({round(last * i / updates) for i in range(updates + 1)})
    # The cut at step 0 would be none at all: begin with the first rise instead.
    zeros = {
        step: round(cubic_sparsity((i + 1) / len(at), start, end))
        for i, step in enumerate(at)
    }
    stop = int(regrowth_until * steps)
    if regrowth:
        every = max(1, round(stop / updates))
        for step in range(last + every, stop, every):
            zeros[step] = end
    return {
        step: MaskUpdate(
            count,
            regrowth / 2 * (1 + math.cos(math.pi * step / stop))
            if step < stop
            else 0.0,
        )
        for step, count in zeros.items()
    }

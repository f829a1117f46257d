"""The schedule of a round's masks: sparsity rises, and drop_fraction decays."""

import math

from shears.pruning.mask_plan import MaskUpdate

GROWTH_END = 0.75  #: fraction of a round after which no pruned weight returns


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


def schedule_masks(
    start: int,
    end: int,
    *,
    steps: int,
    end_step: float,
    update_count: int,
    drop_fraction: float = 0.0,
    dynamic: bool = False,
) -> dict[int, MaskUpdate]:
    """Lays out a round's masks.

    Args:
        start: Zeros at the beginning of the round.
        end: Zeros at the end of the round, exactly.
        steps: Steps of the round.
        end_step: Fraction of the round's steps after which the last zeros are pruned;
            0 prunes all of them before the first step (one-shot).
        update_count: Number of mask updates after the first, up to there.
        drop_fraction: Fraction of the kept weights that the first update drops. It
            falls as half a cosine, to 0 at `GROWTH_END` (RigL; Evci et al. 2020,
            section 3); updates continue until then.
        dynamic: Whether updates continue until then in any case.

    Returns:
        ``{step: update}``. Steps and zeros rise; the first step is 0, and the last
        update has `end` zeros.
    """
    last = min(int(end_step * steps), steps - 1)
    at = [round(last * i / update_count) for i in range(update_count + 1)]
    at = sorted(set(at))
    # The first rise is at step 0, where an update to `start` zeros would do nothing.
    zeros = {
        step: round(cubic_sparsity((i + 1) / len(at), start, end))
        for i, step in enumerate(at)
    }
    stop = int(GROWTH_END * steps)
    if drop_fraction or dynamic:
        interval = max(1, round(stop / update_count))
        for step in range(last + interval, stop, interval):
            zeros[step] = end

    def decayed(step: int) -> float:
        if step >= stop:
            return 0.0
        return drop_fraction / 2 * (1 + math.cos(math.pi * step / stop))

    return {step: MaskUpdate(count, decayed(step)) for step, count in zeros.items()}

"""What changes with the step: the learning rate and, inside a round, the sparsity."""

import math


def learning_rate(
    step: int, steps: int, *, peak: float, schedule: str, warmup: int = 0
) -> float:
    """Computes the learning rate of a step.

    Args:
        step: Steps already taken, 0 to steps - 1.
        steps: Steps in all.
        peak: The highest learning rate.
        schedule: "constant", or "cosine": one half cycle from peak down to 0
            (Loshchilov and Hutter 2017, eq. 5, without restarts).
        warmup: Steps of linear rise before it.

    Returns:
        The learning rate, above 0 and at most `peak`.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * 0.5 * (1 + math.cos(math.pi * progress))


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


def zeros_by_step(
    start: int, end: int, *, steps: int, ramp: float, updates: int
) -> dict[int, int]:
    """Lays out a round's masks: at which step how many weights are zero.

    Args:
        start: Zeros at the beginning of the round.
        end: Zeros at the end of it, exactly.
        steps: Steps of the round.
        ramp: Share of the round over which sparsity rises, 0 (one cut) to 1.
        updates: Masks to make on the way.

    Returns:
        {step: zeros}, both rising; the first step is 0 and the last value is `end`.
    """
    last = min(int(ramp * steps), steps - 1)
    at = sorted({round(last * i / updates) for i in range(updates + 1)})
    # The cut at step 0 would be none at all: begin with the first rise instead.
    count = len(at)
    return {
        step: round(cubic_sparsity((i + 1) / count, start, end))
        for i, step in enumerate(at)
    }

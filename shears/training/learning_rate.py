"""The learning rate of each step."""

import math


def learning_rate(
    step: int,
    steps: int,
    *,
    peak: float,
    schedule: str,
    warmup: int = 0,
    final: float = 0.0,
) -> float:
    """Computes the learning rate of a step.

    Args:
        step: Steps already taken, 0 to steps - 1.
        steps: Steps in total.
        peak: The peak learning rate.
        schedule: "constant", or "cosine": one half cycle from peak down to its end
            (Loshchilov and Hutter 2017, eq. 5, without restarts).
        warmup: Steps of linear warmup at the start.
        final: Fraction of `peak` at which a cosine ends.

    Returns:
        The learning rate, above 0 and at most `peak`.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    progress = (step - warmup) / max(1, steps - warmup)
    return peak * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress)))

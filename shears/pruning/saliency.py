"""Saliency: how much each weight matters."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from shears.model.parameters import Parameters

Saliency = Literal["magnitude", "first_order", "second_moment", "random"]


def compute_saliency(
    parameters: Parameters,
    kind: Saliency,
    *,
    gradient: Callable[[], Parameters] | None = None,
    second_moment: Callable[[], Parameters] | None = None,
    seed: int = 0,
) -> Parameters:
    """Computes how much each weight matters.

    Args:
        parameters: float32, the weights.
        kind: "magnitude": ``|w|`` (Han et al. 2015). "first_order": ``|w g|``, the
            first-order change in the loss when the weight is pruned (Molchanov et al.
            2017, eq. 6, for single weights). "second_moment": ``|w| sqrt(v)``, the root
            of optimal brain damage's ``w^2 h`` (LeCun et al. 1990, eq. 5) up to a
            factor, with Adam's mean squared gradient v for the curvature h (the
            diagonal of the Fisher information; Theis et al. 2018). It is a root, like a
            magnitude, because LAMP squares it. "random": uniform, as a control.
        gradient: Computes the loss's gradient; for "first_order".
        second_moment: Computes v, for "second_moment"; without it, before the first
            step, magnitude decides.
        seed: For "random".

    Returns:
        float64, never negative.

    Raises:
        ValueError: There is no such kind.
    """
    vector = parameters.vector
    if kind == "random":
        return Parameters(np.random.default_rng(seed).random(len(vector)))
    magnitude = np.abs(vector.astype(np.float64))
    if kind == "second_moment" and second_moment:
        return Parameters(magnitude * np.sqrt(second_moment().vector, dtype=np.float64))
    if kind in ("magnitude", "second_moment"):
        return Parameters(magnitude)
    if kind == "first_order":
        if gradient is None:
            raise ValueError("gradient: found None, expected a function of the loss")
        return Parameters(magnitude * np.abs(gradient().vector))
    raise ValueError(f"kind: found {kind!r}, expected one of {get_args(Saliency)}")

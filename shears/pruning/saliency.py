"""Saliency: how much each weight matters."""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from shears.model.parameters import Parameters

Saliency = Literal["magnitude", "first_order", "random"]


def compute_saliency(
    parameters: Parameters,
    kind: Saliency,
    *,
    gradient: Callable[[], Parameters] | None = None,
    seed: int = 0,
) -> Parameters:
    """Computes how much each weight matters.

    Args:
        parameters: float32, the weights.
        kind: "magnitude": ``|w|`` (Han et al. 2015). "first_order": ``|w g|``, the
            first-order change in the loss when the weight is pruned (Molchanov et al.
            2017, eq. 6, for single weights). "random": uniform, as a control.
        gradient: Computes the loss's gradient; for "first_order".
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
    if kind == "magnitude":
        return Parameters(magnitude)
    if kind == "first_order":
        if gradient is None:
            raise ValueError("gradient: found None, expected a function of the loss")
        return Parameters(magnitude * np.abs(gradient().vector))
    raise ValueError(f"kind: found {kind!r}, expected one of {get_args(Saliency)}")

"""Masks, gradients and names that the tests of pruning share."""

from typing import get_args

import numpy as np

from shears.model.architecture import KERNEL_SIZES, PARAMETERS
from shears.model.parameters import Parameters
from shears.pruning.allocation import Allocation
from shears.pruning.mask_plan import Snapshot
from shears.pruning.masks import Granularity, make_mask
from shears.pruning.saliency import Saliency

DENSITIES = (70, 35, 23, 15, 0.7, 45)
ALLOCATIONS = get_args(Allocation)
SALIENCIES = get_args(Saliency)
GRANULARITIES = get_args(Granularity)
BIASES = PARAMETERS - sum(KERNEL_SIZES)


def mask_of(parameters, zeros, allocation="lamp", **options) -> Parameters:
    return make_mask(parameters, zeros, allocation, densities=DENSITIES, **options)


def gradient_of(seed: int) -> Parameters:
    rng = np.random.default_rng(seed)
    return Parameters(rng.normal(size=PARAMETERS).astype(np.float32))


def second_moment_of(seed: int) -> Parameters:
    return Parameters(gradient_of(seed).vector ** 2)


def snapshot_of(weights, gradient=None, *, mask=None, second_moment=None) -> Snapshot:
    """A snapshot of weights, of the network with batch norm or without it."""
    if mask is None:
        mask = type(weights)(np.ones_like(weights.vector))
    moment = (lambda: second_moment) if second_moment else None
    return Snapshot(weights, mask, lambda: gradient, moment)


def magnitude(parameters: Parameters) -> Parameters:
    return Parameters(np.abs(parameters.vector))


def zeros_in(parameters: Parameters) -> int:
    return int((parameters.vector == 0).sum())

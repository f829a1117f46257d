"""Masks: which weights stay when a given number must be zero.

Saliency decides which weights of a kernel are pruned first; allocation decides how the
zeros are distributed over the kernels. All twelve arrays count. Weights that are
already zero are pruned first (pruned stays pruned), then kernels, then biases; with
whole units, these with their biases come first. Ties are broken by index, so the number
of zeros is exact. Dynamic masks are made from latent weights, which are not zero where
the last mask pruned them: so these may return.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from shears.model.architecture import HIDDEN, KERNEL_SIZES, PARAMETERS
from shears.model.parameters import SMALLEST, Parameters
from shears.pruning.allocation import Allocation, allocate
from shears.pruning.dead_units import remove_dead_units
from shears.pruning.live_units import protect_units
from shears.pruning.mask_plan import MaskUpdate, Snapshot
from shears.pruning.saliency import Saliency, compute_saliency
from shears.pruning.units import prune_units
from shears.runtime.errors import UserError
from shears.runtime.settings import Fraction, Settings

# How often a mask is remade because removing dead units freed weights. Two or three
# times are enough, but an allocation that starves a kernel would kill units forever.
MOST_REALLOCATIONS = 8

Granularity = Literal["weight", "unit"]


class MaskSettings(Settings):
    """How the masks of a round are made."""

    saliency: Saliency = "magnitude"
    """Which weights of a kernel are pruned first."""

    allocation: Allocation = "lamp"
    """How the zeros are distributed over the kernels."""

    granularity: Granularity = "weight"
    """What is pruned: single weights, or whole units (channels and neurons)."""

    densities: Annotated[
        tuple[Annotated[float, Field(gt=0, le=1_000_000)], ...],
        Field(strict=False, min_length=6, max_length=6),
    ] = (1.0,) * 6
    """For the allocation ratio: relative densities of the six kernels."""

    floor: Fraction = 0.0
    """Least density of each kernel."""

    least_units: Fraction = 0.0
    """Fraction of each hidden layer's units that masks leave alive."""

    remove_dead_units: bool = False
    """Whether the weights of dead units are given to others."""

    end_step: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Fraction of the round's steps after which sparsity is reached; 0 is one-shot."""

    update_count: Annotated[int, Field(ge=1, le=1000)] = 40
    """Mask updates after the first, up to end_step; drop_fraction, dynamic add more."""

    drop_fraction: Fraction = 0.0
    """Fraction of kept weights dropped so that others grow (RigL); falls to 0."""

    dynamic: bool = False
    """Whether pruned weights are trained on and may return at later updates (DPF)."""

    start: Literal["trained", "initial"] = "trained"
    """The weights a round starts from: the previous round's, or the initial ones."""

    shuffled: bool = False
    """Whether the masks of mask_of are shuffled within each kernel."""


def zeros_for(sparsity: float) -> int:
    """Converts a sparsity to the number of zeros among all parameters, rounded."""
    return round(sparsity * PARAMETERS)


def floor_counts(floor: float) -> list[int]:
    """Computes how many weights each kernel keeps at least, for a density floor."""
    return [math.ceil(floor * size) for size in KERNEL_SIZES]


def make_mask(
    parameters: Parameters,
    zeros: int,
    allocation: Allocation = "lamp",
    *,
    saliency: Parameters | None = None,
    densities: Sequence[float] = (),
    floor: float = 0.0,
    least_units: float = 0.0,
    granularity: Granularity = "weight",
) -> Parameters:
    """Makes a mask with exactly the given number of zeros.

    Args:
        parameters: float32, the current weights.
        zeros: How many of them the mask prunes.
        allocation: How the zeros are distributed over the kernels.
        saliency: float64; None for magnitude.
        densities: For "ratio": the kernels' densities, in proportion.
        floor: Least density of each kernel. At least one weight of each stays, unless
            `zeros` leaves too few for that.
        least_units: Fraction of each hidden layer's units that stay alive, if they are
            (`protect_units`).
        granularity: "unit" prunes whole units first (`prune_units`).

    Returns:
        float32 of 0 and 1. Every weight that is already zero is pruned.

    Raises:
        UserError: More weights than that are already zero, or `floor` or `least_units`
            keeps more weights than may stay.
    """
    pruned = np.abs(parameters.vector) < SMALLEST  # weights files have no denormals
    pruned_count = int(np.count_nonzero(pruned))
    if pruned_count > zeros:
        raise UserError(
            f"{pruned_count:,} weights are already zero, more than the {zeros:,} that "
            "the mask should have: raise the round's sparsity"
        )
    if saliency is None:
        saliency = compute_saliency(parameters, "magnitude")
    saliency = Parameters(np.where(pruned, -1.0, saliency.vector))
    least = [
        min(int(np.count_nonzero(kernel >= 0)), max(1, count))
        for kernel, count in zip(saliency.kernels, floor_counts(floor), strict=True)
    ]
    if least_units:
        protected = protect_units(saliency, parameters, least_units)
        needed = [int(np.count_nonzero(kernel)) for kernel in protected.kernels]
        least = [max(counts) for counts in zip(least, needed, strict=True)]
    if granularity == "unit":
        saliency = prune_units(
            saliency, zeros, allocation, least=least, densities=densities
        )
    alive_biases = sum(int(np.count_nonzero(bias >= 0)) for bias in saliency.biases)
    budget = max(0, PARAMETERS - zeros - alive_biases)  # of the kernels
    if sum(least) > budget:
        if floor or least_units:
            key = "floor" if floor else "least_units"
            value = floor or least_units
            raise UserError(
                f"a {key} of {value:g} keeps {sum(least):,} weights of the kernels, "
                f"but with {zeros:,} zeros only {budget:,} stay: lower the {key}"
            )
        least = [0] * len(least)
    counts = allocate(allocation, saliency.kernels, budget, least, densities)
    if least_units:
        saliency.vector[protected.vector] = np.inf
    kernels = [
        most_salient(kernel, count)
        for kernel, count in zip(saliency.kernels, counts, strict=True)
    ]
    # Biases are few and valuable: they are pruned last.
    biases = np.concatenate(saliency.biases)
    kept = most_salient(biases, min(alive_biases, PARAMETERS - zeros))
    units = np.cumsum([bias.size for bias in saliency.biases])
    mask = Parameters.from_layers(kernels, np.split(kept, units[:-1]))
    return Parameters(mask.vector.astype(np.float32))


def most_salient(saliency: np.ndarray, count: int) -> np.ndarray:
    """Selects the `count` largest entries of an array; of equal ones, the last.

    Args:
        saliency: Any shape; negative entries are never selected.
        count: At most the number of entries that are not negative.

    Returns:
        bool, the array's shape.
    """
    selected = np.zeros(saliency.shape, bool)
    if count:
        # Partitioning is slow where many entries are equal, as the pruned ones are.
        candidates = np.flatnonzero(saliency >= 0)
        values = saliency.ravel()[candidates]
        place = values.size - count
        threshold = np.partition(values, place)[place]
        ties = np.flatnonzero(values == threshold)
        above = values > threshold
        above[ties[len(ties) - (count - np.count_nonzero(above)) :]] = True
        selected.ravel()[candidates[above]] = True
    return selected


def drop_and_grow(
    mask: Parameters, saliency: Parameters, gradient: Parameters, drop_fraction: float
) -> Parameters:
    """Drops kept weights and grows pruned ones instead, kernel by kernel (RigL).

    The least salient kept weights are dropped; the pruned weights with the largest
    gradient grow (Evci et al. 2020, section 3, "update connections"). Unlike there, a
    weight that was just dropped does not grow back in the same update.

    Args:
        mask: float32 of 0 and 1.
        saliency: float64.
        gradient: Of the loss, for all weights, including pruned ones.
        drop_fraction: Fraction of each kernel's kept weights that is dropped.

    Returns:
        A mask with the same number of ones in each kernel and the same biases.
    """
    updated = mask.copy()
    layers = zip(updated.kernels, saliency.kernels, gradient.kernels, strict=True)
    for kept, score, slope in layers:
        kept, score, slope = kept.ravel(), score.ravel(), np.abs(slope).ravel()
        ones = np.flatnonzero(kept)
        # A weight whose gradient is 0 would not grow, and would add to the zeros.
        candidates = np.flatnonzero((kept == 0) & (slope > 0))
        count = min(int(drop_fraction * len(ones)), len(candidates))
        if count:
            kept[ones[np.argsort(score[ones], kind="stable")[:count]]] = 0
            order = np.argsort(-slope[candidates], kind="stable")
            kept[candidates[order[:count]]] = 1
    return updated


def shuffle_mask(mask: Parameters, seed: int, folded_layers: int) -> Parameters:
    """Shuffles the ones of a mask within each of the twelve arrays.

    In the first `folded_layers` layers, weights stay with units that have a bias
    (`zero_incoming`).
    """
    rng = np.random.default_rng(seed)
    kernels, biases = [], []
    for i, (kernel, bias) in enumerate(zip(mask.kernels, mask.biases, strict=True)):
        if i < folded_layers:
            kernel, living = kernel.copy(), bias != 0
            kernel[..., living] = rng.permutation(kernel[..., living].ravel()).reshape(
                kernel[..., living].shape
            )
            kernels.append(kernel)
            biases.append(bias)
        else:
            kernels.append(rng.permutation(kernel.ravel()))
            biases.append(rng.permutation(bias))
    return Parameters.from_layers(kernels, biases)


def zero_incoming(parameters: Parameters, units: Sequence[np.ndarray]) -> Parameters:
    """Sets the incoming weights of some units to zero.

    Folding adds a mean to the bias of every unit that has incoming weights: in the
    first layer where pixels are normalised (`input_normalisation.fold`), in every
    hidden layer with batch norm. A pruned bias would no longer be zero, one zero fewer
    than in the mask. So a dead unit of these layers must stay dead.

    Args:
        parameters: Any dtype.
        units: For each of the first layers, (units,) bool: which units to zero.
    """
    changed = parameters.copy()
    for kernel, zeroed in zip(changed.kernels, units, strict=False):
        kernel[..., zeroed] = 0
    return changed


def without_dead_units(latent: Parameters, mask: Parameters) -> Parameters:
    """Sets to zero the latent weights of units that a mask has left dead.

    Such a unit has no incoming weights, so it has no gradient either, unless its bias
    is positive, and batch norm would divide its latent weights by a std of nearly 0.
    Their magnitudes mean nothing: it stays dead. Biases that are pruned stay pruned.

    Args:
        latent: Any dtype.
        mask: 0 where a weight is pruned.
    """
    masked = latent.masked(mask)
    result = zero_incoming(latent, [~np.any(masked.incoming(i), 0) for i in HIDDEN])
    for bias, kept in zip(result.biases, masked.biases, strict=True):
        bias[...] = kept
    for i in HIDDEN:
        silent = ~np.any(result.incoming(i), 0) & (result.biases[i] == 0)
        result.outgoing(i)[:, silent] = 0
    return result


@dataclass(frozen=True)
class Pruner:
    """Makes the masks of a round.

    Attributes:
        settings: How they are made.
        seed: For the saliency "random".
        folded_layers: How many of the first layers have a mean folded into their biases
            (`zero_incoming`).
    """

    settings: MaskSettings
    seed: int
    folded_layers: int

    def __call__(
        self,
        snapshot: Snapshot[Parameters],
        update: MaskUpdate,
    ) -> tuple[Parameters, Parameters]:
        """Makes a mask.

        Args:
            snapshot: The state of training.
            update: The mask's number of zeros, and what is dropped and grown.

        Returns:
            The weights and the mask to continue with, float32. The weights differ from
            the snapshot's where dead units were removed.

        Raises:
            UserError: The mask cannot be made (`make_mask`).
        """
        settings, parameters = self.settings, snapshot.weights
        if settings.dynamic:
            parameters = without_dead_units(parameters, snapshot.mask)
        saliency = compute_saliency(
            parameters,
            settings.saliency,
            gradient=snapshot.gradient,
            second_moment=snapshot.second_moment,
            seed=self.seed,
        )
        choose = partial(
            make_mask,
            zeros=update.zeros,
            allocation=settings.allocation,
            saliency=saliency,
            densities=settings.densities,
            floor=settings.floor,
            least_units=settings.least_units,
            granularity=settings.granularity,
        )
        mask = choose(parameters)
        for _ in range(MOST_REALLOCATIONS if settings.remove_dead_units else 0):
            kept = parameters.masked(mask)
            alive = remove_dead_units(kept)
            # Dead units' weights are pruned; the next mask keeps as many others.
            changed = alive.vector != kept.vector
            cut = Parameters(np.where(changed, alive.vector, parameters.vector))
            pairs = zip(self._folded(kept), self._folded(alive), strict=True)
            cut = zero_incoming(cut, [(a != 0) & (b == 0) for a, b in pairs])
            too_many = np.count_nonzero(cut.vector == 0) > update.zeros
            nothing_died = np.array_equal(alive.vector != 0, kept.vector != 0)
            if too_many or nothing_died:
                break
            parameters, mask = cut, choose(cut)
        if update.drop_fraction:
            dead = [bias == 0 for bias in self._folded(mask)]
            slope = zero_incoming(snapshot.gradient(), dead)
            mask = drop_and_grow(mask, saliency, slope, update.drop_fraction)
        return parameters, mask

    def _folded(self, parameters: Parameters) -> Sequence[np.ndarray]:
        """Returns the biases that a mean is folded into."""
        return parameters.biases[: self.folded_layers]

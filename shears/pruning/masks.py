"""Masks: which weights stay when so many must be zero.

Saliency says which weights of a kernel go first, allocation how the zeros are shared
out among the kernels. All twelve arrays count: first goes what is zero already (pruned
stays pruned), then kernels, then biases. Ties are broken by index, so the number of
zeros is exactly what was asked for.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from shears.model.architecture import KERNELS, LAYERS, PARAMETERS, SHAPES
from shears.model.parameters import SMALLEST, flatten, unflatten
from shears.pruning.dead_units import remove_dead_units
from shears.pruning.schedule import MaskUpdate
from shears.runtime.errors import UserError

SALIENCIES = ("magnitude", "first_order", "random")
# How often a mask is made anew for its dead units: two or three times leave none, but
# an allocation that starves a kernel would kill others without end.
GIVEN_BACK = 8


def saliency(
    vector: np.ndarray,
    kind: str,
    *,
    gradient: Callable[[], np.ndarray] | None = None,
    seed: int = 0,
) -> np.ndarray:
    """Computes how much each weight matters.

    Args:
        vector: (PARAMETERS,) float32, the weights.
        kind: "magnitude": |w| (Han et al. 2015). "first_order": |w g|, the first-order
            change of the loss when it is cut (Molchanov et al. 2017, eq. 6, for single
            weights). "random": uniform, the control.
        gradient: Computes the loss's gradient (PARAMETERS,); for "first_order".
        seed: For "random".

    Returns:
        (PARAMETERS,) float64, none negative.
    """
    if kind == "random":
        return np.random.default_rng(seed).random(len(vector))
    magnitude = np.abs(vector.astype(np.float64))
    return magnitude if kind == "magnitude" else magnitude * np.abs(gradient())


def rank_globally(scores: Sequence[np.ndarray], budget: int) -> list[np.ndarray]:
    """Ranks all kernels' weights by their saliency itself."""
    return [np.maximum(array, 0) for array in scores]


def rank_by_lamp(scores: Sequence[np.ndarray], budget: int) -> list[np.ndarray]:
    """Ranks by layer-adaptive magnitude (LAMP; Lee et al. 2021, eq. 4).

    Within a kernel sorted by saliency, score(u) = s_u^2 / sum of s_v^2 over v >= u. The
    largest of each scores 1: no kernel is emptied before all are at their last.
    """
    ranked = []
    for array in scores:
        square = np.maximum(array, 0).ravel() ** 2
        kept = np.flatnonzero(square)  # few, late in pruning: sorting is what costs
        order = kept[np.argsort(square[kept], kind="stable")]
        tail = np.cumsum(square[order][::-1])[::-1]
        score = np.zeros_like(square)
        score[order] = square[order] / tail
        ranked.append(score.reshape(array.shape))
    return ranked


def share_out(budget: int, room: Sequence[int], shares: Sequence[float]) -> list[int]:
    """Shares a number out in proportion, exactly, none above its room.

    What one has no room for goes to the others; fractions are rounded by largest
    remainder.

    Args:
        budget: What is shared out, at most sum(room).
        room: The most each can take.
        shares: In which proportion, all positive.

    Returns:
        Numbers that sum to `budget`.
    """
    room, shares = np.array(room, float), np.array(shares, float)
    full = np.zeros(len(room), bool)
    while True:
        left = budget - room[full].sum()
        open_shares = np.where(full, 0, shares)
        wanted = left * open_shares / max(open_shares.sum(), 1e-300)
        over = ~full & (wanted >= room)
        if not over.any():
            break
        full |= over
    wanted = np.where(full, room, wanted)
    counts = np.floor(wanted).astype(int)
    order = np.argsort(counts - wanted, kind="stable")
    order = [i for i in order if counts[i] < room[i]]
    for i in order[: budget - counts.sum()]:
        counts[i] += 1
    return counts.tolist()


def _rank_by_counts(
    scores: Sequence[np.ndarray], counts: Sequence[int]
) -> list[np.ndarray]:
    """Ranks so that of each kernel so many weights come before all others."""
    ranked = []
    for array, count in zip(scores, counts, strict=True):
        rank = np.zeros(array.size)
        rank[np.argsort(-array.ravel(), kind="stable")[:count]] = 1
        ranked.append(rank.reshape(array.shape))
    return ranked


def _rank_in_proportion(densities: Sequence[float]) -> Callable:
    """Ranks so that the kernels' densities are in proportion, none above 1."""

    def rank(scores: Sequence[np.ndarray], budget: int) -> list[np.ndarray]:
        room = [np.count_nonzero(array >= 0) for array in scores]
        shares = [d * array.size for d, array in zip(densities, scores, strict=True)]
        return _rank_by_counts(scores, share_out(budget, room, shares))

    return rank


_KERNEL_SHAPES = [SHAPES[i] for i in KERNELS]
# Erdos-Renyi-kernel (Evci et al. 2020, section 3): (in + out + width + height) over
# their product.
_ERK = [sum(shape) / float(np.prod(shape)) for shape in _KERNEL_SHAPES]

# (saliencies of the kernels, negative where cut before; how many stay) -> scores that
# are compared over all kernels
ALLOCATIONS: dict[str, Callable] = {
    "global": rank_globally,
    "lamp": rank_by_lamp,
    "uniform": _rank_in_proportion([1.0] * len(LAYERS)),
    "erk": _rank_in_proportion(_ERK),
}


def zeros_for(sparsity: float) -> int:
    """Converts a sparsity to the number of zeros among all parameters, rounded."""
    return round(sparsity * PARAMETERS)


def make_mask(
    vector: np.ndarray,
    zeros: int,
    allocation: str = "lamp",
    *,
    scores: np.ndarray | None = None,
    densities: Sequence[float] | None = None,
    floor: float = 0.0,
) -> np.ndarray:
    """Makes the mask with exactly so many zeros.

    Args:
        vector: (PARAMETERS,) float32, the weights as they are.
        zeros: How many of them the mask cuts.
        allocation: A key of `ALLOCATIONS`, or "ratio".
        scores: (PARAMETERS,) float64, the saliency; None for magnitude.
        densities: For "ratio": the kernels' densities, in proportion.
        floor: Least density of each kernel; at least one weight stays, if there is
            room for that in all of them.

    Returns:
        (PARAMETERS,) float32 of 0 and 1. Every weight that is zero already is cut.

    Raises:
        UserError: More weights than that are zero already.
    """
    zero = np.abs(vector) < SMALLEST  # denormals too: weights files have none
    found = int(np.count_nonzero(zero))
    if found > zeros:
        raise UserError(
            f"{found:,} weights are zero already, more than the {zeros:,} of the mask "
            "asked for: raise the round's sparsity"
        )
    if scores is None:
        scores = saliency(vector, "magnitude")
    arrays = unflatten(np.where(zero, -1.0, scores))
    alive = [np.count_nonzero(array >= 0) for array in arrays]
    budget = max(0, PARAMETERS - zeros - sum(alive[1::2]))  # of the kernels
    least = [min(alive[i], max(1, math.ceil(floor * arrays[i].size))) for i in KERNELS]
    if sum(least) > budget:
        if floor:
            raise UserError(
                f"a floor of {floor:g} keeps {sum(least):,} weights of the kernels, "
                f"but with {zeros:,} zeros only {budget:,} stay: lower the floor"
            )
        least = [0] * len(least)
    rank = ALLOCATIONS.get(allocation) or _rank_in_proportion(densities)
    ranked = rank([arrays[i] for i in KERNELS], budget)
    above = 1 + max(float(array.max()) for array in ranked)
    for i, array, count in zip(KERNELS, ranked, least, strict=True):
        first = np.argsort(-arrays[i], axis=None, kind="stable")[:count]
        arrays[i] = array.copy()
        arrays[i].ravel()[first] += above
        arrays[i + 1] = arrays[i + 1] + 2 * above  # few and dear: biases go last
    flat = np.where(zero, -1.0, flatten(arrays))
    mask = np.ones(PARAMETERS, np.float32)
    if zeros > 0:
        threshold = np.partition(flat, zeros - 1)[zeros - 1]
        below = flat < threshold
        ties = np.flatnonzero(flat == threshold)[: zeros - np.count_nonzero(below)]
        mask[below] = 0
        mask[ties] = 0
    return mask


def exchange(
    mask: np.ndarray, scores: np.ndarray, gradient: np.ndarray, share: float
) -> np.ndarray:
    """Exchanges kept weights for pruned ones, kernel by kernel (RigL).

    The least salient of the kept give way to those of the others whose gradient is
    largest (Evci et al. 2020, section 3, "update connections").

    Args:
        mask: (PARAMETERS,) float32 of 0 and 1.
        scores: (PARAMETERS,) float64, the saliency.
        gradient: (PARAMETERS,), of the loss by all weights, pruned ones too.
        share: Of the kept weights, exchanged.

    Returns:
        A mask with as many ones in each kernel; biases as they were.
    """
    new = [array.copy() for array in unflatten(mask)]
    parts = zip(new, unflatten(scores), unflatten(np.abs(gradient)), strict=True)
    for i, (kept, score, slope) in enumerate(parts):
        kept, score, slope = kept.ravel(), score.ravel(), slope.ravel()
        ones = np.flatnonzero(kept)
        # None whose gradient is zero: it would stay zero, and be counted.
        others = np.flatnonzero((kept == 0) & (slope > 0))
        count = min(int(share * len(ones)), len(others))
        if i not in KERNELS or not count:
            continue
        kept[ones[np.argsort(score[ones], kind="stable")[:count]]] = 0
        kept[others[np.argsort(-slope[others], kind="stable")[:count]]] = 1
    return flatten(new)


def shuffle_mask(mask: np.ndarray, seed: int, folded: int) -> np.ndarray:
    """Draws a mask with as many ones in each of the twelve arrays, at other places.

    In the first `folded` layers, weights stay with units that have a bias (`bury`).
    """
    rng = np.random.default_rng(seed)
    kernels, biases = unflatten(mask)[::2], unflatten(mask)[1::2]
    drawn = []
    for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        if i < folded:
            kernel, living = kernel.copy(), bias != 0
            kernel[..., living] = rng.permutation(kernel[..., living].ravel()).reshape(
                kernel[..., living].shape
            )
            drawn += [kernel, bias]
        else:
            drawn += [rng.permutation(kernel.ravel()), rng.permutation(bias)]
    return flatten(drawn)


def bury(vector: np.ndarray, dead: Sequence[np.ndarray]) -> np.ndarray:
    """Sets the incoming weights of dead units to zero.

    Where pixels are normalised, a mean goes into the bias of every unit of the first
    layer that has a weight (`input_normalisation.fold`); with batch norm, into that of
    every hidden unit. Had it been cut, there would be one zero less than the mask has:
    so a dead unit of these layers stays dead.

    Args:
        vector: (PARAMETERS,).
        dead: Of each of the first layers (units,) bool.
    """
    arrays = unflatten(vector)
    for i, units in enumerate(dead):
        arrays[2 * i] = np.where(units, 0, arrays[2 * i])
    return flatten(arrays)


@dataclass(frozen=True)
class Pruner:
    """Makes the masks of a round; config.yaml says what each field means."""

    saliency: str
    allocation: str
    densities: Sequence[float]
    floor: float
    remove_dead_units: bool
    seed: int
    folded: int  # hidden layers whose biases something is folded into (`bury`)

    def __call__(
        self,
        vector: np.ndarray,
        gradient: Callable[[], np.ndarray],
        update: MaskUpdate,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Makes a mask.

        Args:
            vector: (PARAMETERS,) float32, the weights; those cut before are zero.
            gradient: Computes the loss's gradient, (PARAMETERS,).
            update: What the mask is to be.

        Returns:
            The weights and the mask to go on with, (PARAMETERS,) float32 each. The
            weights differ from those given where dead units were removed.

        Raises:
            UserError: The mask cannot be made (`make_mask`).
        """
        scores = saliency(vector, self.saliency, gradient=gradient, seed=self.seed)
        choose = partial(
            make_mask,
            zeros=update.zeros,
            allocation=self.allocation,
            scores=scores,
            densities=self.densities,
            floor=self.floor,
        )
        mask = choose(vector)
        for _ in range(GIVEN_BACK if self.remove_dead_units else 0):
            kept = vector * mask
            left = flatten(remove_dead_units(unflatten(kept)))
            # What dead units had is given to others: it is cut, and chosen anew.
            cut = np.where(left != kept, left, vector)
            pairs = zip(self._biases(kept), self._biases(left), strict=True)
            cut = bury(cut, [(a != 0) & (b == 0) for a, b in pairs])
            too_many = np.count_nonzero(cut == 0) > update.zeros
            if too_many or np.array_equal(left != 0, kept != 0):
                break
            vector, mask = cut, choose(cut)
        if update.exchanged:
            slope = bury(gradient(), [bias == 0 for bias in self._biases(mask)])
            mask = exchange(mask, scores, slope, update.exchanged)
        return vector, mask

    def _biases(self, vector: np.ndarray) -> list[np.ndarray]:
        """Takes the biases that something is folded into."""
        return unflatten(vector)[1 : 2 * self.folded : 2]

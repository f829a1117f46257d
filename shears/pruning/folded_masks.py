"""Masks made on the folded network and applied to the one trained with batch norm."""

from collections.abc import Callable

import numpy as np

from shears.model.architecture import HIDDEN
from shears.model.batch_norm import BatchNorm, fold_statistics, fusion_factors
from shears.model.parameters import GAMMAS, BatchNormParameters, Parameters
from shears.pruning.mask_plan import MakeMask, MaskUpdate, Snapshot

MakeBatchNormMask = Callable[
    [Snapshot[BatchNormParameters], MaskUpdate],
    tuple[BatchNormParameters, BatchNormParameters],
]


def folded_masks(batch_norm: BatchNorm, make_mask: MakeMask) -> MakeBatchNormMask:
    """Makes masks on the folded network and applies them to the trained one.

    Magnitudes are then those of the submitted weights, up to the statistics, which are
    estimated on a few images: a mask must not take longer than a few steps. Latent
    weights are folded with the masked network's statistics. Gammas and betas do not
    change, because the batch's statistics compensate for pruning. A folded bias is
    copied only where nothing is normalised: in the last layer, and in units whose
    kernel is zero.
    """

    def make(
        snapshot: Snapshot[BatchNormParameters], update: MaskUpdate
    ) -> tuple[BatchNormParameters, BatchNormParameters]:
        trained = snapshot.weights
        masked = BatchNormParameters(trained.vector * snapshot.mask.vector)
        statistics = batch_norm.estimate(masked)

        def fold_moment(moment: BatchNormParameters, power: int) -> Parameters:
            """Divides a power of the gradient by that of what folding multiplies by."""
            result = moment.network.copy()
            factors = fusion_factors(trained, statistics)
            for kernel, factor in zip(result.kernels, factors, strict=False):
                kernel[...] /= np.where(factor == 0, 1, factor) ** power
            return result

        moment = snapshot.second_moment
        folded = fold_statistics(trained, statistics)
        folded, mask = make_mask(
            Snapshot(
                folded,
                snapshot.mask.network,
                lambda: fold_moment(snapshot.gradient(), 1),
                (lambda: fold_moment(moment(), 2)) if moment else None,
            ),
            update,
        )
        kept, network = folded.masked(mask), trained.network.copy()
        for i in HIDDEN:
            network.kernels[i][folded.kernels[i] == 0] = 0  # removed with a dead unit
            empty = ~kept.incoming(i).any(0)
            network.biases[i][empty] = folded.biases[i][empty]
        network.kernels[-1][...] = folded.kernels[-1]
        network.biases[-1][...] = folded.biases[-1]
        return (
            BatchNormParameters.join(network, trained.gammas),
            BatchNormParameters.join(mask, [np.ones(GAMMAS, np.float32)]),
        )

    return make

"""Masks made on the folded network and applied to the one trained with batch norm."""

from collections.abc import Callable

import numpy as np

from shears.model.architecture import HIDDEN
from shears.model.batch_norm import BatchNorm, fold_statistics, fusion_factors
from shears.model.parameters import GAMMAS, BatchNormParameters, Parameters
from shears.pruning.mask_plan import MakeMask, MaskUpdate

MakeBatchNormMask = Callable[
    [BatchNormParameters, Callable[[], BatchNormParameters], MaskUpdate],
    tuple[BatchNormParameters, BatchNormParameters],
]


def folded_masks(batch_norm: BatchNorm, make_mask: MakeMask) -> MakeBatchNormMask:
    """Makes masks on the folded network and applies them to the trained one.

    Magnitudes are then those of the submitted weights, up to the statistics, which are
    estimated on a few images: a mask must not take longer than a few steps. Gammas and
    betas do not change, because the batch's statistics compensate for pruning. A folded
    bias is copied only where nothing is normalised: in the last layer, and in units
    whose kernel is zero.
    """

    def make(
        trained: BatchNormParameters,
        gradient: Callable[[], BatchNormParameters],
        update: MaskUpdate,
    ) -> tuple[BatchNormParameters, BatchNormParameters]:
        statistics = batch_norm.estimate(trained)

        def folded_gradient() -> Parameters:
            network_gradient = gradient().network.copy()
            factors = fusion_factors(trained, statistics)
            for kernel, factor in zip(network_gradient.kernels, factors, strict=False):
                kernel[...] /= np.where(factor == 0, 1, factor)
            return network_gradient

        folded = fold_statistics(trained, statistics)
        folded, mask = make_mask(folded, folded_gradient, update)
        kept, network = folded.masked(mask), trained.network.copy()
        for i in HIDDEN:
            network.kernels[i][kept.kernels[i] == 0] = 0  # later growth starts at 0
            empty = ~kept.incoming(i).any(0)
            network.biases[i][empty] = kept.biases[i][empty]
        network.kernels[-1][...] = kept.kernels[-1]
        network.biases[-1][...] = kept.biases[-1]
        return (
            BatchNormParameters.join(network, trained.gammas),
            BatchNormParameters.join(mask, [np.ones(GAMMAS, np.float32)]),
        )

    return make

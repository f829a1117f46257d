"""Parameters as training with batch norm might leave them, and a batch of images."""

import numpy as np

from shears.model.parameters import GAMMAS, BatchNormParameters
from shears.runtime.backend import tf
from tests.conftest import make_parameters
from tests.unit.training.recipes import make_data

IMAGES = make_data().images
INPUT = tf.constant(IMAGES.astype("f4") / 255)


def make_trained(seed: int) -> BatchNormParameters:
    """Parameters as training might leave them: no gamma is what it was at first."""
    rng = np.random.default_rng(seed)
    gammas = rng.uniform(-0.5, 1.5, GAMMAS).astype("f4")
    return BatchNormParameters.join(make_parameters(seed), [gammas])

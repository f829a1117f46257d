"""The demo's images: scikit-learn's handwritten digits."""

import numpy as np
from sklearn.datasets import load_digits

from shears.data.dataset import Split
from shears.data.splits import split_off

DIGITS_TEST_IMAGES = 297


def read_digits(seed: int) -> tuple[Split, Split]:
    """Builds the demo's data: scikit-learn's 1,797 handwritten digits as (32, 32, 3).

    Each 8x8 image of 17 grey levels is enlarged four times and copied to 3 channels.

    Args:
        seed: Seed of the stratified split.

    Returns:
        1,500 images for training and validation, 297 for the test.
    """
    digits = load_digits()
    grey = np.kron(digits.images, np.ones((4, 4))) * (255 / 16)
    images = np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=-1)
    return split_off(
        Split(images, digits.target.astype(np.uint8)), DIGITS_TEST_IMAGES, seed
    )

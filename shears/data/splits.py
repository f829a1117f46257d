"""Splits the images into training and validation images, and joins them again."""

import numpy as np
from sklearn.model_selection import train_test_split

from shears.data.dataset import Split
from shears.runtime.errors import UserError


def join(first: Split, second: Split) -> Split:
    """Joins two parts; those of the second part come last."""
    return Split(*(np.concatenate(pair) for pair in zip(first, second, strict=True)))


def split_off(data: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Splits off some of the images, stratified by class.

    Args:
        data: What to split.
        count: How many images to split off.
        seed: Seed of the draw.

    Returns:
        The rest and the part split off, each in the original order.

    Raises:
        UserError: Either part would have fewer images than there are classes.
    """
    total = len(data.labels)
    if not 10 <= count <= total - 10:
        raise UserError(
            f"data: validation_images: found {count:,}, expected 10 to "
            f"{total - 10:,}: the data set has {total:,} training images"
        )
    try:
        rest, part = train_test_split(
            np.arange(total), test_size=count, random_state=seed, stratify=data.labels
        )
    except ValueError as error:
        raise UserError(
            f"the images cannot be split by class ({error}): this is not CIFAR-10"
        ) from error
    rest.sort()
    part.sort()
    return (
        Split(data.images[rest], data.labels[rest]),
        Split(data.images[part], data.labels[part]),
    )

"""Views: shifted and mirrored versions of images, drawn ahead of time.

A teacher's logits are saved for a fixed number of views of each image.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from shears.runtime.settings import Crop, Seed, Settings


class ViewSettings(Settings):
    """Views of the training images that a teacher's logits are saved for."""

    count: Annotated[int, Field(ge=1, le=1000)] = 16
    """Views per image."""

    flip: bool = True
    """Whether half of the views are mirrored left to right."""

    crop: Crop = 4
    """Largest shift in pixels; edges are reflected."""

    seed: Seed = 0
    """Seed of the draw."""


def draw_views(
    images: int, views: int, *, crop: int, flip: bool, seed: int
) -> np.ndarray:
    """Draws views of each image: (images, views, 3) uint8, as row, column, mirrored."""
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, 2 * crop + 1, (images, views, 2), np.uint8)
    mirrored = rng.integers(0, 2, (images, views, 1), np.uint8) * np.uint8(flip)
    return np.concatenate([offsets, mirrored], 2)

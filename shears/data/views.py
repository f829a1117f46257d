"""The settings of views: shifted and mirrored images, drawn ahead of time.

A teacher's logits are saved for a fixed number of views of each image.
"""

from typing import Annotated

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

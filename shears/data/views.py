"""Views: shifted, mirrored and mixed images, drawn ahead of time.

A teacher's logits are saved for a fixed number of views of each image.
"""

from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field

from shears.runtime.settings import Crop, Fraction, Seed, Settings

#: Of the views, the last ones, that are never mixed. Training ends on plain images if
#: its epochs are a multiple of the views.
PLAIN_END = 0.15
VIEWS_PER_FILE = 16  #: an even number: a view and its mirror image share their logits


class ViewSettings(Settings):
    """Views of the training images that a teacher's logits are saved for."""

    count: Annotated[int, Field(ge=1, le=1000)] = 16
    """Views per image; an epoch uses one of them, in turn."""

    flip: bool = True
    """Whether every other view is the mirror image of the one before it."""

    crop: Crop = 4
    """Largest shift in pixels; edges are reflected."""

    mixed: Fraction = 0.0
    """Fraction of a view's images that are mixed (mixup); the last views have none."""

    seed: Seed = 0
    """Seed of the draw."""


class View(NamedTuple):
    """One view of each of N images.

    Attributes:
        places: (N, 3) uint8: first row and column in the padded image, mirrored or not.
        partners: (N,) int32, the image that each is mixed with, in the same view.
        shares: (N,) float16, the image's share of the mix, 0.5 to 1; 1 is not mixed.
    """

    places: np.ndarray
    partners: np.ndarray
    shares: np.ndarray


def split_views(count: int) -> list[range]:
    """Splits views into files: adding views leaves the files before them as they are.

    That is so unless images are mixed: which views are depends on the count.

    Args:
        count: Views per image.
    """
    starts = range(0, count, VIEWS_PER_FILE)
    return [range(start, min(start + VIEWS_PER_FILE, count)) for start in starts]


def draw_view(images: int, number: int, settings: ViewSettings) -> View:
    """Draws a view of each image.

    With ``flip``, views 2 k and 2 k + 1 are mirror images of each other, so that
    each image is mirrored in every other epoch (alternating flip; Jordan 2024, section
    3.6). Mixes are those of mixup with alpha 1 (Zhang et al. 2018).

    Args:
        images: Number of images.
        number: Number of the view, from 0.
        settings: How views are drawn. The last 15 % of ``count`` are not mixed, nor is
            the mirror image of one of them.
    """
    flip, crop = settings.flip, settings.crop
    pair = range(number - number % 2, number + 2 - number % 2) if flip else [number]
    rng = np.random.default_rng([settings.seed, number // len(pair)])
    places = rng.integers(0, 2 * crop + 1, (images, 3), np.uint8)
    places[:, 2] = rng.integers(0, 2, images, np.uint8)
    places[:, 2] = (places[:, 2] + number) % 2 if flip else 0
    partners = rng.permutation(images).astype(np.int32)
    mixed = rng.random(images) < settings.mixed
    mixed &= pair[-1] < round((1 - PLAIN_END) * settings.count)
    shares = np.where(mixed, rng.uniform(0.5, 1, images), 1).astype(np.float16)
    return View(places, partners, shares)

"""Recipes, and a handful of images, for tests that train."""

import numpy as np

from shears.data.dataset import Split
from shears.training.recipe import Recipe

PLAIN = Recipe(
    epochs=2,
    batch_size=16,
    learning_rate=1e-3,
    schedule="constant",
    beta_2=0.99,
    dropout=(0.0, 0.0, 0.0),
)


def change(recipe: Recipe, **changes) -> Recipe:
    return Recipe(**{**recipe.model_dump(), **changes})


AUGMENTED = change(PLAIN, dropout=(0.1, 0.2, 0.3), flip=True, crop=4)


def make_data(count: int = 48) -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    return Split(images, rng.integers(0, 10, count).astype(np.uint8))

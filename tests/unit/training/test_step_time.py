"""Training steps are timed on random images."""

import numpy as np

from shears.training.recipe import Recipe
from shears.training.step_time import make_trainer, time_steps


def test_a_step_is_timed_and_changes_weights():
    recipe = Recipe(learning_rate=1e-3, batch_size=4, normalise=True, batch_norm=True)
    trainer = make_trainer(recipe, precision="float32", width=None, distilled=True)
    before = trainer.state.parameters.numpy()
    compiling, per_image = time_steps(trainer, 0.0)
    assert compiling > 0 and per_image > 0
    assert not np.array_equal(before, trainer.state.parameters.numpy())

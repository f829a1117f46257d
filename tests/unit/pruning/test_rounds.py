"""Every way to prune in config.yaml, on a handful of images."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from shears.model.architecture import initial_weights
from shears.model.parameters import clean, flatten, unflatten
from shears.pruning.masks import make_mask, zeros_for
from shears.pruning.rounds import plan_round
from shears.runtime.errors import UserError
from shears.training.loop import train_network
from shears.weight_files.canonical import read_weights, write_weights
from tests.conftest import make_weights
from tests.unit.training.test_loop import AUGMENTED, make_data, replace

CONFIG = yaml.safe_load((Path(__file__).parents[3] / "config.yaml").read_text())
RECIPE = replace(AUGMENTED, epochs=4, weight_decay=0.1, normalise=True)  # of 3 steps


def settings(name: str, sparsity: float = 0.97, batch_norm: bool = False) -> dict:
    method = {
        **{"densities": [1] * 6, "mask_of": "", "shuffled": False},
        **CONFIG["pruning"],
        **CONFIG["methods"][name],
        "mask_updates": 4,
    }
    recipe = {"batch_norm": batch_norm}
    own = {"sparsity": sparsity, "seed": 3, "initial_seed": 1, "recipe": recipe}
    return {**method, **own}


def pruned(weights, sparsity: float):
    vector = flatten(weights)
    return unflatten(vector * make_mask(vector, zeros_for(sparsity)))


@pytest.mark.parametrize(
    ("name", "batch_norm"),
    [
        *((name, False) for name in CONFIG["methods"]),
        *((name, True) for name in ("first_order", "regrown", "random_from_scratch")),
        ("lottery_ticket", True),
    ],
)
def test_a_round_of_every_method_is_exact_and_keeps_what_was_pruned(
    name, batch_norm, tmp_path
):
    files = {"previous": pruned(make_weights(0), 0.9)}
    if settings(name)["mask_of"]:
        files["mask"] = pruned(make_weights(1), 0.97)
    plan = settings(name, batch_norm=batch_norm)
    weights, masks = plan_round(files, plan, steps=12)
    recipe, data = replace(RECIPE, batch_norm=batch_norm), make_data()
    trained, _ = train_network(
        weights, data, data, recipe, precision="float32", seed=3, **masks
    )
    trained = clean(trained)
    vector = flatten(trained)
    assert (vector == 0).sum() == zeros_for(0.97)
    assert all(array.any() for array in trained[::2])
    if not files.get("mask") and name != "regrown":
        assert not vector[flatten(files["previous"]) == 0].any()
    write_weights(tmp_path / "a.h5", trained)
    again = flatten(read_weights(tmp_path / "a.h5"))
    assert again.tobytes() == vector.tobytes()


def test_a_lottery_ticket_starts_from_its_initial_weights():
    previous = pruned(make_weights(0), 0.9)
    start, masks = plan_round(
        {"previous": previous}, settings("lottery_ticket"), steps=9
    )
    (update,) = masks["mask_updates"].values()
    vector, mask = masks["make_mask"](flatten(start), None, update)
    assert (mask == 0).sum() == zeros_for(0.97)
    np.testing.assert_allclose(vector, flatten(initial_weights(1)), atol=1e-5)
    # The mask is that of the trained weights: in each kernel their largest.
    for values, ones in zip(previous[::2], unflatten(mask)[::2], strict=True):
        assert np.abs(values)[ones == 0].max() <= np.abs(values)[ones == 1].min()


@pytest.mark.parametrize("name", ["mask_from_scratch", "random_from_scratch"])
def test_the_controls_take_the_mask_or_its_counts(name):
    files = {"previous": make_weights(0), "mask": pruned(make_weights(1), 0.97)}
    start, masks = plan_round(files, settings(name), steps=9)
    (update,) = masks["mask_updates"].values()
    _, mask = masks["make_mask"](flatten(start), None, update)
    theirs = (flatten(files["mask"]) != 0).astype(np.float32)
    assert (mask == theirs).all() == (name == "mask_from_scratch")
    counts = [[int(array.sum()) for array in unflatten(m)] for m in (mask, theirs)]
    assert counts[0] == counts[1]


def test_a_mask_without_the_biases_that_batch_norm_needs_is_refused():
    mask = pruned(make_weights(1), 0.97)
    mask[7][np.flatnonzero(mask[6].any((0, 1, 2)))[:2]] = 0
    files = {"previous": make_weights(0), "mask": mask}
    plan_round(files, settings("mask_from_scratch"), steps=9)
    with pytest.raises(
        UserError, match="2 units of conv2d_3 that .* made with batch_norm"
    ):
        plan_round(files, settings("mask_from_scratch", batch_norm=True), steps=9)


def test_the_same_settings_make_the_same_masks():
    files = {"previous": make_weights(0), "mask": pruned(make_weights(1), 0.97)}
    one, two = (
        plan_round(files, settings("random_from_scratch"), steps=9)[1]["make_mask"](
            flatten(files["previous"]), None, None
        )[1]
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)

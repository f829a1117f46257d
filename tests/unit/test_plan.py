import copy
import os
from pathlib import Path

import pytest

from shears.plan import plan
from shears.pruning.masks import zeros_for
from shears.runtime.errors import UserError
from tests import ROOT
from tests.configurations import CONFIG, check_all, merge
from tools.configuration import read_configuration

SHIPPED = sorted(
    str(path.relative_to(ROOT / "config").with_suffix(""))
    for path in (ROOT / "config").rglob("*.yaml")
)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration_is_planned_in_a_folder_of_its_name(name):
    config = read_configuration(name)
    assert len(plan(config).candidates) >= 2
    assert config.directory == name


def test_the_assignments_own_way_has_its_recipe_and_nothing_of_ours():
    planned = plan(read_configuration("assignment"))
    assert (planned.baselines, list(planned.methods)) == (["dense"], ["global"])
    own = planned.config.recipes["assignment"]
    assert planned.baseline_recipe("dense") == own
    assert (own.flip, own.crop, own.normalise, own.batch_norm) == (
        False,
        0,
        False,
        False,
    )
    assert (own.label_smoothing, own.ema_decay, own.weight_decay) == (0, 0, 0)
    assert planned.config.baselines["dense"].teacher == "none"
    assert planned.methods["global"].settings.teacher == "none"
    assert [planned.round_recipe("global", i).epochs for i in range(1, 6)] == [10] * 5
    for number in range(1, 6):
        assert planned.round_recipe("global", number) == own.model_copy(
            update={"epochs": 10}
        )
        spec = planned.round_spec("global", 0, number)
        assert (spec.saliency, spec.allocation) == ("magnitude", "global")
        assert (spec.end_step, spec.drop_fraction) == (0, 0)
        assert not spec.remove_dead_units
    assert planned.config.optimizers.data_sets == ()


def test_the_teachers_recipe_is_needed_only_if_somebody_learns_from_it():
    config = copy.deepcopy(CONFIG)
    del config["recipes"]["teacher"]
    config["methods"]["lamp"]["teacher"] = "none"
    config["baselines"]["plain"] = {"teacher": "none"}
    config["methods"]["lamp"]["baseline"] = "plain"
    check_all(config)  # dense is not pruned, other methods are not run
    for changed in ({"run": ["lamp", "erk"]}, {"run": []}):
        with pytest.raises(UserError, match="^teacher: recipe: found 'teacher', exp"):
            check_all({**copy.deepcopy(config), **changed})


def test_methods_come_after_those_whose_masks_they_take_with_all_settings():
    planned = check_all({**CONFIG, "run": ["mask_from_scratch", "erk"]})
    assert list(planned.methods) == ["lamp", "mask_from_scratch", "erk"]
    own = {
        "lamp": {},
        "mask_from_scratch": {"start": "initial", "mask_of": "lamp"},
        "erk": {"allocation": "erk"},
    }
    for name, changes in own.items():
        method = planned.methods[name]
        expected = planned.config.pruning.model_copy(update=changes)
        assert (method.key, method.settings) == (name, expected)
    assert planned.baselines == ["dense"]


def test_recipes_of_a_sweep_multiply_the_methods_and_their_masks():
    config = {**copy.deepcopy(CONFIG), "run": ["mask_from_scratch", "lamp"]}
    config["recipes"]["long"] = {"learning_rate": 0.001}
    planned = check_all({**config, "with_recipes": ["finetune", "long"]})
    assert list(planned.methods) == [
        *("lamp-finetune", "mask_from_scratch-finetune"),
        *("lamp-long", "mask_from_scratch-long"),
    ]
    for name, method in planned.methods.items():
        assert method.settings.recipe == name.split("-")[1]
    assert planned.methods["mask_from_scratch-long"].settings.mask_of == "lamp-long"
    assert planned.candidates[-1] == "mask_from_scratch-long/seed_0/round_2"
    assert planned.baselines == ["dense"]


def test_a_round_has_the_methods_settings_and_its_own():
    rounds = [{"sparsity": 0.5, "epochs": 3}, {"sparsity": 0.75, "epochs": 4}]
    config = merge(CONFIG, {"methods": {"erk": {"rounds": rounds, "floor": 0.01}}})
    planned = check_all({**config, "run": ["erk"], "seeds": [7]})
    spec = planned.round_spec("erk", 7, 2)
    assert (spec.allocation, spec.floor, spec.sparsity) == ("erk", 0.01, 0.75)
    assert (spec.seed, spec.initial_seed) == (7002, 7)
    recipe = planned.round_recipe("erk", 2)
    assert recipe.epochs == 4
    assert recipe.batch_norm == CONFIG["recipes"]["finetune"]["batch_norm"]
    assert planned.baseline_of("erk/seed_7") == "dense/seed_7"


def test_candidates_are_listed_for_each_seed_and_round_baselines_first():
    config = {**copy.deepcopy(CONFIG), "seeds": [3, 0]}
    rounds = {"rounds": [{"sparsity": 0.5, "epochs": 1}]}
    config["methods"]["erk"].update(rounds, baseline="plain")
    config["baselines"]["plain"] = {}
    planned = check_all({**config, "run": ["erk", "lamp"]})
    assert planned.candidates == [
        *("dense/seed_3", "dense/seed_0", "plain/seed_3", "plain/seed_0"),
        *("erk/seed_3/round_1", "erk/seed_0/round_1"),
        *("lamp/seed_3/round_1", "lamp/seed_3/round_2"),
        *("lamp/seed_0/round_1", "lamp/seed_0/round_2"),
    ]
    assert check_all({**config, "run": []}).candidates == [
        *("dense/seed_3", "dense/seed_0", "plain/seed_3", "plain/seed_0"),
    ]


def test_a_hundred_methods_may_take_masks_from_each_other():
    chain = {f"m{i}": {"mask_of": f"m{i + 1}"} for i in range(99)}
    config = merge(CONFIG, {"methods": {**chain, "m99": {}}, "run": ["m0"]})
    assert list(check_all(config).methods) == [f"m{i}" for i in reversed(range(100))]


def import_config(weights: str, **changes) -> dict:
    """The shipped configuration with an imported baseline."""
    imported = {"baselines": {"mine": {"weights": weights}}}
    return merge(merge(CONFIG, imported), {"pruning": {"baseline": "mine"}, **changes})


def test_an_imported_baseline_needs_no_recipe_and_no_teacher():
    config = import_config("x.keras")
    config["pruning"]["teacher"] = "none"
    del config["recipes"]["teacher"]
    planned = check_all(config)
    assert planned.baselines == ["mine"]
    assert planned.imported == {"mine": Path("x.keras")}
    assert planned.candidates[:2] == ["mine/seed_0", "lamp/seed_0/round_1"]
    assert check_all(CONFIG).imported == {}
    # One that is not pruned is not imported.
    config["pruning"]["baseline"] = "dense"
    config["baselines"]["dense"]["teacher"] = "none"
    assert check_all(config).imported == {}


@pytest.mark.parametrize(
    ("weights", "path"),
    [
        ("./a/../x.h5", "x.h5"),
        ("/a/x.h5", "/a/x.h5"),
        ("~/x.h5", "/home/me/x.h5"),
        ("$PLACE/x.h5", "/home/me/place/x.h5"),
        ("a/${NAME}.h5", "a/x.h5"),
    ],
)
def test_every_path_is_expanded_and_normalised(monkeypatch, weights, path):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("PLACE", "~/place/.")
    monkeypatch.setenv("NAME", "x")
    config = import_config(weights, notebook=weights, directory=weights)
    planned = check_all(config)
    assert planned.imported["mine"] == planned.notebook == Path(path)
    assert os.path.normpath(planned.config.directory) == path


@pytest.mark.parametrize(("value", "shown"), [("/a/{b}", "/a/{b}"), ("/a\n", "/a")])
def test_a_variable_brings_no_wildcard_and_no_line_in(monkeypatch, value, shown):
    monkeypatch.setenv("PLACE", value)
    message = f"directory: found {shown}, expected a path without {{, }} and control"
    with pytest.raises(UserError, match=message):
        check_all({**CONFIG, "directory": "$PLACE"})


def test_a_missing_file_is_reported_with_its_key(tmp_path):
    (tmp_path / "x.h5").touch()
    check_all(import_config(str(tmp_path / "x.h5"))).check_users_files()
    for path, actual in ((tmp_path / "y.h5", "no file"), (tmp_path, "a folder")):
        planned = check_all(import_config(str(path)))
        with pytest.raises(UserError) as caught:
            planned.check_users_files()
        start = f"baselines: mine: weights: found {actual} at {path}, expected a wei"
        assert str(caught.value).startswith(start)


def test_a_first_round_must_prune_an_imported_network():
    rounds = [{"sparsity": 0.5, "epochs": 1}, {"sparsity": 0.9, "epochs": 1}]
    later = [{"sparsity": 0.8, "epochs": 1}]
    config = import_config("x.keras", run=["lamp", "erk", "one_shot"])
    config["methods"]["lamp"].update(
        baseline="dense", rounds=[later[0] | {"epochs": 2}]
    )
    config["methods"]["erk"]["rounds"] = later
    config["pruning"]["rounds"] = rounds
    planned = check_all(config)
    planned.check_imported_zeros("mine", zeros_for(0.5) - 1)
    message = "x.keras: found a sparsity of 0.5000, .* 0.5, which the first .* one_shot"
    with pytest.raises(UserError, match=message):
        planned.check_imported_zeros("mine", zeros_for(0.5))
    # Masks of another method may keep weights that are zero.
    config["methods"]["one_shot"] = {"mask_of": "erk", "rounds": later}
    planned = check_all(config)
    planned.check_imported_zeros("mine", zeros_for(0.5))
    with pytest.raises(UserError, match="0.8, which the first round of erk has"):
        planned.check_imported_zeros("mine", zeros_for(0.8))


def test_a_missing_notebook_is_reported_with_its_key(tmp_path):
    planned = check_all({**CONFIG, "notebook": str(tmp_path / "a.ipynb")})
    with pytest.raises(UserError) as caught:
        planned.check_users_files()
    start = f"notebook: found no file at {tmp_path}/a.ipynb, expected a notebook"
    assert str(caught.value).startswith(start)
    (tmp_path / "a.ipynb").touch()
    planned.check_users_files()
    assert check_all(CONFIG).notebook is None

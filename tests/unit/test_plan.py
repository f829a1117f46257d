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


@pytest.mark.parametrize("name", [n for n in SHIPPED if n.startswith("trials/")])
def test_a_trials_methods_differ_from_the_first_in_one_setting(name):
    planned = plan(read_configuration(name))
    numbers = planned.last_rounds()
    assert len(numbers) >= 2 and planned.config.data.validation_images == 10_000

    def settings_of(method: str) -> dict:
        settings = planned.methods[method].settings.model_dump(exclude={"recipe"})
        return {
            **settings,
            **planned.round_recipe(method, numbers[method]).model_dump(),
        }

    first, *others = map(settings_of, planned.compared)
    for other in others:
        assert len([key for key in first if first[key] != other[key]]) == 1


def test_a_trial_compares_the_methods_of_run_with_the_first_after_their_last_rounds():
    config = {**copy.deepcopy(CONFIG), "run": ["mask_from_scratch", "erk"]}
    planned = check_all(config)  # lamp is only the source of masks
    assert planned.compared == ["mask_from_scratch", "erk"]
    assert planned.last_rounds() == {"mask_from_scratch": 2, "erk": 2}
    swept = check_all(
        {**config, "run": ["erk"], "with_recipes": ["strong", "finetune"]}
    )
    assert swept.compared == ["erk-strong", "erk-finetune"]
    assert swept.last_rounds() == {"erk-strong": 2, "erk-finetune": 2}


def test_a_trial_of_one_method_or_of_two_sparsities_is_refused():
    with pytest.raises(UserError, match=r"^run: found \['lamp'\], expected at"):
        check_all(CONFIG).last_rounds()
    for rounds in ([{"sparsity": 0.5, "epochs": 1}], []):
        config = merge(CONFIG, {"methods": {"erk": {"rounds": rounds}}})
        planned = check_all({**config, "run": ["lamp", "erk"]})
        with pytest.raises(UserError, match=r"^run: found last rounds with the spars"):
            planned.last_rounds()


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

import copy

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from shears.config import Configuration, parse_configuration
from shears.plan import Plan, plan
from shears.runtime.errors import UserError
from shears.runtime.yaml_files import check_yaml
from tests import ROOT
from tools.write_schema import (
    OVERRIDES,
    PAGE,
    SCHEMA,
    SECTIONS,
    make_schema,
    page_text,
    schema_text,
)

CONFIG = yaml.safe_load((ROOT / "config.yaml").read_text())


def check_all(config: dict) -> Plan:
    """What the Snakefile does."""
    return plan(parse_configuration(config))


def test_the_schema_is_the_generated_one():
    assert SCHEMA.read_text() == schema_text()  # else: make schema
    jsonschema.Draft202012Validator.check_schema(yaml.safe_load(schema_text()))


def test_the_page_of_keys_is_the_generated_one_and_has_every_section():
    assert PAGE.read_text() == page_text()  # else: make schema
    assert {*SECTIONS.values(), OVERRIDES} == make_schema()["$defs"].keys()


def models(model: type[BaseModel] = Configuration) -> list[type[BaseModel]]:
    """Lists the classes of the configuration."""
    schema = model.model_json_schema()
    by_name = {sub.__name__: sub for sub in all_subclasses(BaseModel)}
    return [model, *(by_name[name] for name in schema["$defs"])]


def all_subclasses(model: type) -> set[type]:
    direct = set(model.__subclasses__())
    return direct.union(*map(all_subclasses, direct))


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_key_is_described(model):
    assert model.__doc__
    for name, field in model.model_fields.items():
        assert field.description and field.description.endswith("."), name


def test_the_shipped_configuration_is_accepted_and_spells_out_the_defaults():
    config = check_all(CONFIG).config
    filled = config.model_dump(mode="json")
    for key in ("baselines", "teacher", "run", "selection"):
        assert filled[key] == CONFIG[key]
    # These make sense only with another method's allocation or start.
    unsaid = {"densities", "mask_of", "shuffled"}
    assert filled["pruning"].keys() - CONFIG["pruning"].keys() == unsaid
    assert filled["data"].keys() - CONFIG["data"].keys() == {"urls", "sha256"}
    assert config.recipes["assignment"].beta_2 == 0.999


def test_defaults_are_filled_in():
    recipes = {"strong": {"learning_rate": 0.1}, "finetune": {"learning_rate": 1}}
    config = check_all({"recipes": recipes}).config
    assert config.pruning.rounds == ()
    assert config.recipes["strong"].dropout == (0.25, 0.25, 0.5)


def test_whole_numbers_become_fractions_where_those_are_meant():
    config = check_all(merge(CONFIG, {"recipes": {"strong": {"learning_rate": 1}}}))
    rate = config.config.recipes["strong"].learning_rate
    assert rate == 1 and isinstance(rate, float)


def test_settings_cannot_be_changed():
    config = check_all(CONFIG).config
    with pytest.raises(ValueError, match="frozen"):
        config.pruning.floor = 0.5


def test_the_assignments_recipe_is_the_assignments():
    recipe = check_all(CONFIG).config.recipes["assignment"]
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (50, 32, 1e-4)
    assert (recipe.optimizer, recipe.schedule) == ("adam", "constant")
    assert (recipe.flip, recipe.crop, recipe.weight_decay) == (False, 0, 0)


def test_a_printed_configuration_says_the_same():
    config = copy.deepcopy(CONFIG)
    config["run"] = ["lamp", "mask_from_scratch", "erk"]
    config["methods"]["erk"]["rounds"] = [{"sparsity": 0.5, "epochs": 2}]
    before = check_all(config)
    printed = yaml.safe_dump(before.config.model_dump(mode="json"))
    after = check_all(yaml.safe_load(printed))
    assert after.candidates == before.candidates
    assert after.methods == before.methods
    assert printed == yaml.safe_dump(after.config.model_dump(mode="json"))


BAD = {
    "unknown key": ("sed: 1", "unknown key 'sed'; did you mean seeds?"),
    "unknown key inside": (
        "pruning: {round: []}",
        "pruning: unknown key 'round'; did you",
    ),
    "a key that a terminal would obey": (
        'teacher: {"\\e[31m": 1}',
        r"teacher: unknown key '\x1b[31m'; known: recipe, width, seed",
    ),
    "a name that a terminal would obey": (
        'recipes: {"\\e[31m": {epoch: 1}}',
        r"recipes: \x1b[31m: unknown key 'epoch'; did you mean epochs?",
    ),
    "a key that is not UTF-8": (
        'teacher: {"\\ud800": 1}',
        r"teacher: unknown key '\\ud800'; known: recipe, width, seed",
    ),
    "unknown key in a round": (
        "pruning: {rounds: [{sparsity: 0.9, epochs: 1, lr: 1}]}",
        "pruning: rounds[0]: unknown key 'lr'; known: sparsity, epochs",
    ),
    "wrong type": ("seeds: [one]", "seeds[0]: found 'one', expected a whole number"),
    "boolean as --config reads it": (
        "tensorboard: 'true'",
        "tensorboard: found 'true', expected true or false (after --config: True or",
    ),
    "boolean": ("seeds: [true]", "seeds[0]: found true, expected a whole number"),
    "one seed, no list": ("seeds: 0", "seeds: found 0, expected a list"),
    "a seed twice": ("seeds: [1, 1]", "seeds: found [1, 1], expected each item once"),
    "a boolean for a number of GPUs": (
        "gpus: true",
        "gpus: found true, expected one of auto, 0, 1",
    ),
    "a number of GPUs with a fraction": ("gpus: 1.0", "found 1.0, expected one of"),
    "a huge number of GPUs": ("gpus: 1" + 30 * "0", "00, expected one of auto, 0, 1"),
    "a bad name of a method": (
        "methods: {Bad Name: {}}",
        "methods: found 'Bad Name', expected text that matches",
    ),
    "a bad name of a baseline": ("baselines: {UPPER: {}}", "baselines: found 'UPPER'"),
    "a method named like a folder": ("methods: {figures: {}}", "the name 'figures'"),
    "an unknown recipe beside one that a terminal would obey": (
        'recipes: {"\\e[31m": {learning_rate: 1}}\nteacher: {recipe: none}',
        r"teacher: recipe: found 'none', expected one of the recipes: \x1b[31m, ",
    ),
    "no seed": ("seeds: []", "seeds: found [], expected at least 1 item"),
    "list for mapping": ("pruning: []", "pruning: found [], expected a mapping"),
    "null": ("data: null", "data: found null, expected a mapping"),
    "exponent without a dot": (
        "recipes: {strong: {learning_rate: 2e-3}}",
        "learning_rate: found '2e-3', expected a number (YAML needs a dot: 2.0e-3)",
    ),
    "sparsity 1": (
        "pruning: {rounds: [{sparsity: 1, epochs: 1}]}",
        "expected less than 1",
    ),
    "sparsity 0": (
        "pruning: {rounds: [{sparsity: 0, epochs: 1}]}",
        "expected more than 0",
    ),
    "sparsity in percent": (
        "pruning: {rounds: [{sparsity: 95, epochs: 1}]}",
        "pruning: rounds[0]: sparsity: found 95, expected less than 1 - Fraction",
    ),
    "sparsity NaN": (
        "pruning: {rounds: [{sparsity: .nan, epochs: 1}]}",
        "pruning: rounds[0]: sparsity: found nan, expected a finite number",
    ),
    "not rising": (
        "pruning: {rounds: [{sparsity: 0.9, epochs: 1}, {sparsity: 0.9, epochs: 1}]}",
        "pruning: rounds[1]: sparsity: found 0.9, expected more than 0.9",
    ),
    "zero epochs": (
        "pruning: {rounds: [{sparsity: 0.9, epochs: 0}]}",
        "pruning: rounds[0]: epochs: found 0, expected at least 1",
    ),
    "epochs missing": (
        "pruning: {rounds: [{sparsity: 0.9}]}",
        "pruning: rounds[0]: key 'epochs' is missing",
    ),
    "unknown recipe": (
        "baselines: {dense: {recipe: stong}}",
        "baselines: dense: recipe: found 'stong', expected one of the recipes: assig",
    ),
    "unknown recipe of a method": (
        "methods: {lamp: {recipe: stong}}",
        "methods: lamp: recipe: found 'stong', expected one of the recipes: assignment",
    ),
    "unknown recipe of the rounds": (
        "pruning: {recipe: stong}",
        "pruning: recipe: found 'stong', expected one of the recipes: assignment,",
    ),
    "unknown recipe of the teacher": (
        "teacher: {recipe: stong}",
        "teacher: recipe: found 'stong', expected one of the recipes: assignment,",
    ),
    "unknown teacher": (
        "pruning: {teacher: stong}",
        "pruning: teacher: found 'stong', expected one of none, own, strong",
    ),
    "a baseline that teaches itself": (
        "baselines: {dense: {teacher: own}}",
        "baselines: dense: teacher: found 'own', expected one of none, strong",
    ),
    "unknown allocation": (
        "pruning: {allocation: lmap}",
        "pruning: allocation: found 'lmap', expected one of lamp, global",
    ),
    "unknown allocation of a method": (
        "methods: {erk: {allocation: lmap}}",
        "methods: erk: allocation: found 'lmap', expected one of lamp, global",
    ),
    "unknown key of a method": (
        "methods: {erk: {alocation: erk}}",
        "methods: erk: unknown key 'alocation'; did you mean allocation?",
    ),
    "unknown method": (
        "run: [lmap]",
        "run[0]: found 'lmap', expected one of the methods: erk, first_order, global,",
    ),
    "unknown baseline": (
        "pruning: {baseline: dens}",
        "pruning: baseline: found 'dens', expected one of the baselines: dense",
    ),
    "unknown baseline of a method": (
        "methods: {lamp: {baseline: dens}}",
        "methods: lamp: baseline: found 'dens', expected one of the baselines: dense",
    ),
    "masks of an unknown method": (
        "{methods: {a: {mask_of: lmap}}, run: [a]}",
        "methods: a: mask_of: found 'lmap', expected one of the methods: a, erk,",
    ),
    "masks taken in a circle": (
        "{methods: {a: {mask_of: b}, b: {mask_of: a}}, run: [a]}",
        "methods: a: mask_of: found a cycle (a -> b -> a), expected a method with",
    ),
    "masks of other sparsities": (
        "{methods: {a: {mask_of: lamp, rounds: [{sparsity: 0.5, epochs: 1}]}}, "
        "run: [a]}",
        "methods: a: rounds: found sparsities [0.5], expected those of lamp, whose",
    ),
    "first-order saliency before there is a gradient": (
        "{methods: {a: {start: initial, saliency: first_order}}, run: [a]}",
        "methods: a: saliency: found 'first_order', expected magnitude or random where",
    ),
    "a method called like a baseline": (
        "methods: {dense: {}}",
        "methods: found the name 'dense', expected another: the folder results/dense",
    ),
    "a baseline called like a folder": (
        "baselines: {teacher: {}}",
        "baselines: found the name 'teacher', expected another: the folder",
    ),
    "a method called like a folder": (
        "methods: {submission: {}}",
        "methods: found the name 'submission', expected another: the folder",
    ),
    "a name with a slash": (
        "methods: {a/b: {}}",
        "methods: found 'a/b', expected text that matches",
    ),
    "five densities": (
        "pruning: {densities: [1, 1, 1, 1, 1]}",
        "pruning: densities: found [1, 1, 1, 1, 1], expected at least 6 items",
    ),
    "seven densities": (
        "pruning: {densities: [1, 1, 1, 1, 1, 1, 1]}",
        "pruning: densities: found [1, 1, 1, 1, 1, 1, ...], expected at most 6 items",
    ),
    "a floor of everything": (
        "pruning: {floor: 1}",
        "pruning: floor: found 1, expected less than 1",
    ),
    "no training images to speak of": (
        "data: {training_images: 9}",
        "data: training_images: found 9, expected 10 to 44,990, or 0 for all 45,000",
    ),
    "more training images than there are": (
        "data: {training_images: 45001}",
        "data: training_images: found 45,001, expected 10 to 44,990, or 0 for all",
    ),
    "more than all of the teacher's": (
        "recipes: {finetune: {distillation: 1.1}}",
        "recipes: finetune: distillation: found 1.1, expected at most 1",
    ),
    "a floor that the sparsity cannot have": (
        "pruning: {floor: 0.1}",
        "pruning: floor: found 0.1, which keeps 125,731 weights, expected at most the",
    ),
    "masks shuffled of nobody": (
        "methods: {lamp: {shuffled: true}}",
        "methods: lamp: shuffled: found true, expected false without mask_of",
    ),
    "drop and grow with one mask": (
        "{methods: {a: {start: initial, drop_fraction: 0.1}}, run: [a]}",
        "methods: a: drop_fraction: found 0.1, expected 0 where start is initial or",
    ),
    "a sweep over a recipe nobody wrote": (
        "with_recipes: [finetune, longer]",
        "with_recipes: recipe: found 'longer', expected one of the recipes: assignment",
    ),
    "no view": ("views: {count: 0}", "views: count: found 0, expected at least 1"),
    "two dropout rates": (
        "recipes: {strong: {dropout: [0.1, 0.2]}}",
        "recipes: strong: dropout: found [0.1, 0.2], expected at least 3 items",
    ),
    "a data set twice": (
        "optimizers: {data_sets: [sparse, sparse]}",
        "optimizers: data_sets: found ['sparse', 'sparse'], expected each item once",
    ),
    "an unknown data set": (
        "optimizers: {data_sets: [iris]}",
        "optimizers: data_sets[0]: found 'iris', expected one of diabetes, condition_1",
    ),
    "learning rates that fall": (
        "optimizers: {lowest_rate: 1, highest_rate: 0.1}",
        "optimizers: highest_rate: found 0.1, expected more than 1, lowest_rate",
    ),
    "one learning rate": (
        "optimizers: {rates: 1}",
        "optimizers: rates: found 1, expected at least 2",
    ),
    "learning rate 0": (
        "recipes: {strong: {learning_rate: 0}}",
        "recipes: strong: learning_rate: found 0, expected more than 0",
    ),
    "too many for validation": (
        "data: {name: digits, validation_images: 1491}",
        "data: validation_images: found 1,491, expected at most 1,490",
    ),
    "all warmup": (
        "{recipes: {finetune: {warmup_epochs: 8}}, "
        "pruning: {rounds: [{sparsity: 0.9, epochs: 8}]}}",
        "warmup_epochs: found 8, expected less than the 8 epochs of pruning: rounds[0]",
    ),
    "all warmup for the teacher": (
        "recipes: {teacher: {warmup_epochs: 24}}",
        "warmup_epochs: found 24, expected less than the 24 epochs of teacher",
    ),
    "batch norm of one image": (
        "recipes: {finetune: {batch_size: 1}}",
        "recipes: finetune: batch_size: found 1, expected at least 2 with batch_norm",
    ),
    "too much decay": (
        "recipes: {strong: {weight_decay: 10, learning_rate: 1}}",
        "weight_decay: found 10, expected less than 1, 1 / learning_rate",
    ),
    "a server that is none": (
        "data: {urls: [ftp://host/a.tar.gz]}",
        "data: urls[0]: found 'ftp://host/a.tar.gz', expected text that matches",
    ),
    "no server": ("data: {urls: []}", "data: urls: found [], expected at least 1"),
    "a short checksum": (
        "data: {sha256: c4a38c50}",
        "data: sha256: found 'c4a38c50', expected text that matches",
    ),
    "a negative seed": ("seeds: [-1]", "seeds[0]: found -1, expected at least 0"),
    "a huge seed": (
        "seeds: [1000001]",
        "seeds[0]: found 1000001, expected at most 1000000",
    ),
    "half an epoch": (
        "recipes: {strong: {epochs: 0.5}}",
        "recipes: strong: epochs: found 0.5, expected a whole number",
    ),
    "no image per step": (
        "recipes: {strong: {batch_size: 0}}",
        "recipes: strong: batch_size: found 0, expected at least 1",
    ),
    "dropout 1": (
        "recipes: {strong: {dropout: [0.1, 0.2, 1.0]}}",
        "recipes: strong: dropout[2]: found 1.0, expected less than 1",
    ),
    "an optimizer nobody has": (
        "recipes: {strong: {optimizer: adamm}}",
        "recipes: strong: optimizer: found 'adamm', expected one of adam, sgd",
    ),
    "home directory": ("directory: ~/runs", "directory: found '~/runs', expected text"),
    "no recipes": ("recipes: {}", "recipes: found {}, expected at least 1 item"),
}


def merge(base: dict, change: dict) -> dict:
    """Overrides one level deep, and recipes two."""
    result = copy.deepcopy(base)
    for key, value in change.items():
        if key in ("recipes", "methods", "baselines") and value:
            for name, entry in value.items():
                result[key].setdefault(name, {}).update(entry)
        elif isinstance(value, dict) and value:
            result[key].update(value)
        else:
            result[key] = value
    return result


@pytest.mark.parametrize("kind", BAD)
def test_bad_configurations_are_refused_in_one_line(kind):
    change, message = BAD[kind]
    with pytest.raises(UserError) as caught:
        check_all(merge(CONFIG, yaml.safe_load(change)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


# JSON has no NaN, and its 1.0 is the integer 1.
NOT_IN_JSON = {"sparsity NaN", "a number of GPUs with a fraction"}


@pytest.mark.parametrize("kind", sorted(BAD.keys() - NOT_IN_JSON))
def test_the_schema_refuses_what_the_classes_refuse(kind):
    config = merge(CONFIG, yaml.safe_load(BAD[kind][0]))
    try:
        parse_configuration(config)
    except UserError:
        schema = jsonschema.Draft202012Validator(make_schema())
        assert not schema.is_valid(config)


# Rules of a JSON Schema that a value can break; the others only lead on to these.
RULES = {
    *("additionalProperties", "required", "type", "enum", "pattern", "uniqueItems"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    *("minItems", "maxItems", "minProperties"),
}


def rules(schema: object) -> set[str]:
    """Lists the rules in a schema."""
    if isinstance(schema, list):
        return set().union(*map(rules, schema))
    if not isinstance(schema, dict):
        return set()
    found = RULES & schema.keys()
    return found.union(*(rules(inner) for inner in schema.values()))


def test_every_kind_of_rule_is_broken_by_a_bad_configuration():
    schema = yaml.safe_load(schema_text())
    validator = jsonschema.Draft202012Validator(schema)
    broken = {
        error.validator
        for change, _ in BAD.values()
        for error in validator.iter_errors(merge(CONFIG, yaml.safe_load(change)))
    }
    assert rules(schema) == RULES & broken


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


LINES = (ROOT / "config.yaml").read_text().splitlines()


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    line=st.integers(0, len(LINES) - 1),
    text=st.text(st.characters(codec="utf-8"), max_size=12),
    place=st.integers(0, 40),
)
def test_any_text_typed_anywhere_is_accepted_or_refused_plainly(
    tmp_path, line, text, place
):
    lines = list(LINES)
    lines[line] = lines[line][:place] + text + lines[line][place:]
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    try:
        check_yaml(path)
        check_all(yaml.safe_load(path.read_text(encoding="utf-8")))
    except UserError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 400


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ),
    max_leaves=5,
)


def paths(node: object, path: tuple = ()) -> list[tuple]:
    """Every place in the configuration."""
    items = node.items() if isinstance(node, dict) else ()
    items = enumerate(node) if isinstance(node, list) else items
    found = [path] if path else []
    return found + [p for key, item in items for p in paths(item, (*path, key))]


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(paths(CONFIG)), value=values)
def test_any_value_anywhere_is_accepted_or_refused_plainly(place, value):
    config = copy.deepcopy(CONFIG)
    node = config
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    try:
        check_all(config)
    except UserError as error:
        assert "\n" not in str(error)

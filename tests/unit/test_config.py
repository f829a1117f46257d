import copy
import re
from collections.abc import Iterator
from functools import reduce
from operator import getitem
from typing import Annotated

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from snakemake.cli import parse_config
from snakemake.utils import update_config

from shears.config import Configuration
from shears.runtime.errors import UserError
from shears.runtime.yaml_files import check_yaml, typed
from tests import ROOT
from tests.any_values import paths, replaced, yaml_values
from tests.configurations import BAD, CONFIG, check_all, merge


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


def test_a_chain_of_recipes_has_an_end():
    def chain(length):
        recipes = {f"r{i}": {"extends": f"r{i + 1}"} for i in range(length)}
        return merge(
            CONFIG, {"recipes": {**recipes, f"r{length}": {"extends": "strong"}}}
        )

    check_all(chain(50))
    with pytest.raises(UserError, match="extends: found a chain of more than 100"):
        check_all(chain(1200))


def test_a_recipe_takes_the_keys_that_it_leaves_out_from_the_one_it_extends():
    recipes = {
        "coldest": {"extends": "cold", "epochs": 3},
        "cold": {"extends": "finetune", "temperature": 1},
        "finetune": {"crop": 2},
    }
    found = check_all(merge(CONFIG, {"recipes": recipes})).config.recipes
    finetune = found["finetune"].model_dump()
    assert found["cold"].model_dump() == {**finetune, "temperature": 1}
    assert found["coldest"].model_dump() == {**finetune, "temperature": 1, "epochs": 3}
    assert finetune["crop"] == 2 and "extends" not in finetune


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
    config["baselines"]["mine"] = {"weights": "x.keras"}
    config["methods"]["erk"]["baseline"] = "mine"
    before = check_all(config)
    assert list(before.imported) == ["mine"]
    printed = yaml.safe_dump(before.config.model_dump(mode="json"))
    after = check_all(yaml.safe_load(printed))
    assert after.candidates == before.candidates
    assert after.methods == before.methods
    assert printed == yaml.safe_dump(after.config.model_dump(mode="json"))


WHOLE = check_all(CONFIG).config.model_dump(mode="json")
COUNTS = [place for place in paths(WHOLE) if type(reduce(getitem, place, WHOLE)) is int]


@pytest.mark.parametrize("place", COUNTS, ids=lambda place: "-".join(map(str, place)))
def test_a_whole_float_is_no_integer_for_any_key_that_counts(place):
    number = float(reduce(getitem, place, WHOLE))
    with pytest.raises(UserError, match=f"found {number}, expected a whole number"):
        check_all(replaced(WHOLE, place, number))


def patterns(schema: object) -> Iterator[str]:
    """Yields every pattern of a JSON Schema."""
    if isinstance(schema, dict):
        yield from schema.get("patternProperties", ())
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
    for inner in schema.values() if isinstance(schema, dict) else schema:
        if isinstance(inner, dict | list):
            yield from patterns(inner)


PATTERNS = sorted(set(patterns(Configuration.model_json_schema())))
TEXTS = ("a", "http://a", "0" * 64, "90min")


@pytest.mark.parametrize("pattern", PATTERNS)
@given(place=st.integers(0, 64), character=st.characters(categories=["Cc"]))
def test_no_pattern_lets_a_line_feed_or_an_escape_through(pattern, place, character):
    text = next(text for text in TEXTS if re.search(pattern, text))
    check = TypeAdapter(Annotated[str, Field(pattern=pattern)], config={"strict": True})
    assert check.validate_python(text) == text
    for changed in (text + character, text[:place] + character + text[place:]):
        with pytest.raises(ValidationError):
            check.validate_python(changed)


@pytest.mark.parametrize("kind", BAD)
def test_bad_configurations_are_refused_in_one_line(kind):
    change, message = BAD[kind]
    with pytest.raises(UserError) as caught:
        check_all(merge(CONFIG, yaml.safe_load(change)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


LINES = (ROOT / "config.yaml").read_text(encoding="utf-8").splitlines()


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


@settings(max_examples=150, deadline=None)
@given(place=st.sampled_from(paths(CONFIG)), value=yaml_values)
def test_any_value_anywhere_is_accepted_or_refused_plainly(place, value):
    try:
        check_all(replaced(CONFIG, place, value))
    except UserError as error:
        assert str(error).isprintable()


VALUES = st.lists(
    st.sampled_from(
        [*"[]{},: ~&*!?'\"0123e+-.\n\t\0\x1b", "lamp", "true", "1.0", ".nan", "2e3"]
        + ["a: ", "seed", "rounds", "sparsity: 0.5", "epochs", "!!bool x", "2020-13-45"]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=300)
@given(key=st.sampled_from(list(Configuration.model_fields)), text=VALUES)
def test_any_value_after_config_is_accepted_or_refused_plainly(key, text):
    try:
        given = parse_config([f"{key}={text}"])
    except AssertionError:  # Snakemake's own: "#" is no value
        return
    config = copy.deepcopy(CONFIG)
    value = given[key]  # what rules/common.smk does with it:
    value = typed(value) if isinstance(value, list | dict) else value
    update_config(config, {key: value})
    try:
        check_all(config)
    except UserError as error:
        assert str(error).isprintable()

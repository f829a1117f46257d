import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from shears.runtime.settings import Crop, Fraction, Seed, Settings, UniqueList
from tests.any_values import yaml_values


class Example(Settings):
    """Settings of every kind that has a type of its own."""

    share: Fraction = 0.5
    """A share."""

    shift: Crop = 0
    """A shift."""

    seeds: UniqueList[Seed] = (0,)
    """Seeds."""

    rate: float = 1.0
    """A rate."""


def problems(**given) -> list[tuple[str, tuple]]:
    """Lists the kind and the path of everything that is wrong."""
    try:
        Example(**given)
    except ValidationError as error:
        return [(problem["type"], problem["loc"]) for problem in error.errors()]
    return []


@given(share=st.floats())
def test_a_fraction_is_at_least_0_and_less_than_1(share):
    assert bool(problems(share=share)) == (not 0 <= share < 1)


@given(shift=st.integers(-5, 30))
def test_a_crop_leaves_at_least_half_of_an_image(shift):
    assert bool(problems(shift=shift)) == (not 0 <= shift <= 15)


@given(seeds=st.lists(st.integers(-1, 4) | st.just(1_000_001), max_size=4))
def test_a_list_becomes_a_tuple_if_each_item_is_right_and_there_once(seeds):
    good = all(0 <= seed <= 1_000_000 for seed in seeds)
    if good and len(set(seeds)) == len(seeds):
        assert Example(seeds=seeds).seeds == tuple(seeds)
    else:
        assert problems(seeds=seeds)


@pytest.mark.parametrize("key", Example.model_fields)
@example(value=math.inf)
@example(value=math.nan)
@given(value=yaml_values)
def test_what_is_accepted_is_finite_typed_and_the_same_after_json(key, value):
    try:
        settings = Example(**{key: value})
    except ValidationError:
        return
    assert type(settings.share) is type(settings.rate) is float
    assert all(type(seed) is int for seed in settings.seeds)
    text = json.dumps(settings.model_dump(mode="json"), allow_nan=False)
    assert Example(**json.loads(text)) == settings


@pytest.mark.parametrize(
    ("key", "value"),
    [("share", "0.5"), ("share", True), ("shift", 1.0), ("seeds", "12"), ("seeds", 0)],
)
def test_nothing_is_converted_but_whole_numbers_to_fractions(key, value):
    ((_, (where, *_)),) = problems(**{key: value})
    assert where == key
    assert type(Example(share=0).share) is float


def test_an_unknown_key_is_the_only_problem_and_comes_with_the_known_ones():
    with pytest.raises(ValidationError) as caught:
        Example(**{"share": 2, "sed\ud800": 1, "other": 1})
    (problem,) = caught.value.errors()
    assert problem["type"] == "unknown_key"
    known = ["share", "shift", "seeds", "rate"]
    assert problem["ctx"] == {"key": r"sed\ud800", "known": known}


def test_settings_are_frozen():
    settings = Example()
    with pytest.raises(ValidationError, match="frozen"):
        settings.share = 0.1
    assert len({settings, Example(), Example(share=0.1)}) == 2


def test_the_docstring_below_a_key_and_its_limits_are_in_the_schema():
    keys = Example.model_json_schema()["properties"]
    assert keys["share"]["description"] == "A share."
    assert (keys["share"]["minimum"], keys["share"]["exclusiveMaximum"]) == (0, 1)
    assert keys["seeds"]["uniqueItems"] is True

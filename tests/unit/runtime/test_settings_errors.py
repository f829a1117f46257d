from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from shears.runtime.settings import List, Settings
from shears.runtime.settings_errors import explain


class Inner(Settings):
    size: Annotated[int, Field(ge=1)] = 1
    """How many. More is more."""


class Outer(Settings):
    parts: List[Inner] = ()
    """The parts."""

    name: str


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "a", "nme": 1}, "configuration: unknown key 'nme'; did you mean"),
        ({}, "configuration: key 'name' is missing"),
        (
            {"name": "a", "parts": [{"size": 0}]},
            "parts[0]: size: found 0, expected at least 1 - How many",
        ),
        ({"name": 1}, "name: found 1, expected text"),
    ],
)
def test_the_first_problem_is_explained_in_one_line(values, message):
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(values)
    assert str(explain(caught.value, Outer)).startswith(message)

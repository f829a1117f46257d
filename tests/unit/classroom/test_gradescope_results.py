import json
import math
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.classroom.gradescope_results import (
    LONGEST_OUTPUT,
    Graded,
    Test,
    build_results,
    not_graded,
)

SCHEMA = json.loads(
    Path(__file__).with_name("gradescope.schema.json").read_text(encoding="utf-8")
)
numbers = st.floats() | st.integers(-(10**9), 10**9)
texts = st.text(st.characters(), max_size=50)  # surrogates included
tests = st.builds(Test, texts, st.booleans(), numbers, numbers, texts)
graded = st.builds(
    Graded, st.lists(tests, max_size=4), st.dictionaries(texts, numbers, max_size=3)
)


def reject(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@given(st.lists(graded, max_size=3), numbers)
def test_whatever_the_outcome_and_the_names_the_results_have_the_documented_form(
    parts, seconds
):
    results = build_results(parts, seconds)
    text = json.dumps(results, allow_nan=False, ensure_ascii=False)
    text.encode("utf-8")  # a lone surrogate has no encoding
    results = json.loads(text, parse_constant=reject)
    jsonschema.validate(results, SCHEMA)
    for test in results["tests"]:
        assert 0 <= test["score"] <= test["max_score"]
        assert test["output"].replace("\n", "").isprintable()
    score = sum(test["score"] for test in results["tests"])
    assert math.isclose(results["score"], score, abs_tol=1e-5)


def test_the_score_is_the_sum_of_the_tests_of_all_parts():
    first = Graded([Test("one", True, 3, 5), Test("two", False, 0, 5)])
    second = Graded([Test("three", True, 92.42, 100)], {"Score": 0.9242})
    results = build_results([first, second], 1.5)
    assert results["score"] == 95.42
    assert results["output"].startswith("95.42 of 110 points")
    assert [test["status"] for test in results["tests"]] == [
        "passed",
        "failed",
        "passed",
    ]
    assert results["leaderboard"] == [
        {"name": "Score", "value": 0.9242, "order": "desc"}
    ]


def test_a_long_output_is_cut_and_control_characters_are_escaped():
    output = "\x1b[2J<b>" + "x" * 10**6
    (test,) = build_results([Graded([Test("t", True, 1, 1, output)])], 0)["tests"]
    assert len(test["output"]) == LONGEST_OUTPUT
    assert test["output"].startswith(r"\x1b[2J<b>xxx")
    assert test["output_format"] == "text"  # so <b> is shown, not obeyed


def test_a_part_that_is_not_graded_says_why_and_keeps_its_points_in_the_total():
    results = build_results([not_graded("a", 40, "no notebook")], 0)
    (test,) = results["tests"]
    assert (test["name"], test["score"], test["max_score"]) == ("Part A", 0, 40)
    assert test["output"] == "no notebook"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_numbers_that_json_or_gradescope_cannot_take_are_bounded(number):
    tests = [Test("a", True, number, 5), Test("b", True, 1, number)]
    results = build_results([Graded(tests, {"Score": number})], number)
    jsonschema.validate(json.loads(json.dumps(results, allow_nan=False)), SCHEMA)
    assert all(0 <= test["score"] <= test["max_score"] for test in results["tests"])

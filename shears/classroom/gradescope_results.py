"""The file results.json in the form that Gradescope documents.

See https://gradescope-autograders.readthedocs.io/en/latest/specs/ for its keys. All
text in it is plain: nothing that a student's file says is formatted.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shears.runtime.errors import printable

LONGEST_NAME = 200  # characters
LONGEST_OUTPUT = 4000  # characters


@dataclass(frozen=True)
class Test:
    """A line of the student's result.

    Attributes:
        name: What is tested.
        passed: Whether it is.
        points: Points given.
        possible: Points that it is worth.
        output: What the student reads.
    """

    __test__ = False  # not one of pytest's

    name: str
    passed: bool
    points: float
    possible: float
    output: str = ""


@dataclass(frozen=True)
class Graded:
    """The result of a part.

    Attributes:
        tests: Its tests.
        leaderboard: Values for Gradescope's leaderboard, by name; the larger the
            better.
    """

    tests: Sequence[Test]
    leaderboard: Mapping[str, float] = field(default_factory=dict)


def not_graded(part: str, possible: float, why: str) -> Graded:
    """Makes the result of a part that got no points.

    Args:
        part: "a" or "b".
        possible: Points that it is worth.
        why: What the student reads.
    """
    return Graded([Test(f"Part {part.upper()}", False, 0, possible, why)])


def _bounded(value: float, least: float, most: float) -> float:
    """Bounds a number, rounded to six decimals; NaN is the least."""
    return least if math.isnan(value) else round(min(max(value, least), most), 6)


def _text(text: str, longest: int) -> str:
    """Bounds a text and makes it printable; line feeds are left."""
    text = printable(text[:longest])
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _test(test: Test, number: int) -> dict[str, Any]:
    """Describes a test as Gradescope documents it."""
    possible = _bounded(test.possible, 0, 1e6)
    return {
        "number": str(number),
        "name": _text(test.name, LONGEST_NAME),
        "score": _bounded(test.points, 0, possible),
        "max_score": possible,
        "status": "passed" if test.passed else "failed",
        "output": _text(test.output, LONGEST_OUTPUT),
        "output_format": "text",
        "visibility": "visible",
    }


def build_results(graded: Sequence[Graded], seconds: float) -> dict[str, Any]:
    """Makes what results.json holds.

    Args:
        graded: The result of each part.
        seconds: How long grading has taken.

    Returns:
        Plain values for JSON, without NaN or infinity. The score is the tests' sum.
    """
    tests = [test for part in graded for test in part.tests]
    described = [_test(test, number) for number, test in enumerate(tests, 1)]
    score = sum(test["score"] for test in described)
    most = sum(test["max_score"] for test in described)
    return {
        "score": _bounded(score, 0, most),
        "execution_time": _bounded(seconds, 0, 1e6),
        "output": f"{score:.10g} of {most:.10g} points. Your last upload counts.",
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": described,
        "leaderboard": [
            {
                "name": _text(name, LONGEST_NAME),
                "value": _bounded(value, 0, 1e6),
                "order": "desc",
            }
            for part in graded
            for name, value in part.leaderboard.items()
        ],
    }

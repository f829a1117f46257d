"""Grades a student's notebook of Part A for an autograder."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from shears.notebooks.confinement import describe_walls
from shears.notebooks.document import read_document
from shears.notebooks.limits import Limits
from shears.optimizer_study.check import check
from shears.runtime.errors import UserError

_LIMITS = Limits()


class GradedTest(NamedTuple):
    """A test of Part A.

    Attributes:
        name: Grade id of the test cell, such as "test_GD".
        points: Points given.
        possible: Points that it is worth.
        problem: Why there are none, in one line for the student; None if there are.
    """

    name: str
    points: int
    possible: int
    problem: str | None


@dataclass(frozen=True)
class GradedNotebook:
    """What a notebook is worth.

    Attributes:
        tests: The five tests, in the order of the notebook.
        notes: Lines for the log: what is odd about its cells, which fail, and which
            walls stood while it ran.
    """

    tests: list[GradedTest]
    notes: list[str]


def grade_notebook(path: Path, limits: Limits = _LIMITS) -> GradedNotebook:
    """Runs a student's notebook behind walls and gives points.

    A test has its points if the course's own test passes, the solution's numbers on
    fresh data are right, and its solution cell names none of TensorFlow's optimizers.

    Args:
        path: The notebook (.ipynb).
        limits: What each run may use: the notebook's own and two with wrong solutions.
            One that is stopped early is run once more, as far as its tests passed.

    Raises:
        UserError: The file cannot be read, is not a notebook, or has no graded cells;
            the error names the file.
    """
    document = read_document(path)
    try:
        checked = check(document, limits)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    tests = []
    for test in checked.tests:
        solution = f"cell {test.name.removeprefix('test_')}: "
        banned = [
            problem
            for problem in checked.problems
            if problem.startswith(solution) and problem.endswith("own optimizers")
        ]
        problem = test.problem or (banned[0] if banned else None)
        points = 0 if problem else test.points
        tests.append(GradedTest(test.name, points, test.possible, problem))
    walls = describe_walls(checked.walls)
    return GradedNotebook(tests, [*checked.problems, *checked.errors, *walls])

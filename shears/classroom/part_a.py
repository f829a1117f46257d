"""Grades Part A on Gradescope: a notebook, run behind walls."""

from pathlib import Path

from shears.classroom.gradescope_results import Graded, Test, not_graded
from shears.classroom.submitted_file import find_file
from shears.notebooks.limits import Limits
from shears.optimizer_study.fill import our_functions
from shears.optimizer_study.grading import grade_notebook
from shears.runtime.errors import UserError, printable

NAME = "assignment_notebook.ipynb"  # what the assignment asks for
#: Gradescope ends an autograder after ten minutes unless it is told another time; a
#: notebook has three runs, or four, of which the first is stopped early.
LIMITS = Limits(seconds=130)


def check(source: Path) -> None:
    """Checks that our own solution is there, which tests are tried with.

    Args:
        source: The folder with the grader.

    Raises:
        OSError: It is not.
    """
    our_functions()


def grade(submission: Path, source: Path, points: float) -> Graded:
    """Grades a student's notebook.

    Args:
        submission: The folder with what the student has uploaded.
        source: The folder with the grader.
        points: What the part is worth where the notebook cannot be graded.
    """
    try:
        path = find_file(submission, NAME, (".ipynb",))
        graded = grade_notebook(path, LIMITS)
    except UserError as error:
        text = str(error).removeprefix(printable(f"{submission}/"))
        return not_graded("a", points, text)
    print(*graded.notes, sep="\n")  # the teacher's log
    return Graded(
        [
            Test(
                f"Part A: {test.name}",
                test.problem is None,
                test.points,
                test.possible,
                test.problem or "passed",
            )
            for test in graded.tests
        ]
    )

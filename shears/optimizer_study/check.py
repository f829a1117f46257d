"""Checks anybody's filled notebook of Part A: runs it, and looks for edited cells.

A test passes if the course's own test does, in the notebook's process, and the
numbers that the solution gives on fresh data are right
(`shears.optimizer_study.recomputation`).
"""

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from shears.notebooks.confinement import Confinement
from shears.notebooks.document import Document, source_of
from shears.notebooks.execution import CellResult, Walls, run_cells
from shears.notebooks.limits import Limits
from shears.notebooks.source import parse_cell
from shears.optimizer_study.course_notebook import (
    POINTS,
    SOLUTIONS,
    banned_names,
    banned_words,
    grade_id,
    graded_cells,
    problems_of,
    source_by_id,
)
from shears.optimizer_study.fill import Bodies, fill_wrongly, signature_problems
from shears.optimizer_study.old_versions import OLD_VERSIONS
from shears.optimizer_study.recomputation import ask, draw_problem, judge, keep
from shears.runtime.errors import UserError, brief

# Solutions that are wrong: each fails its test by several times the tolerance.
WRONG_MODEL: Bodies = {
    ("Linear", "call"): "return 0 * tf.reduce_sum(inputs, -1, keepdims=True) + self.b",
    (None, "loss"): "return tf.reduce_sum(tf.abs(y_pred - y_true))",
}
WRONG_OPTIMIZERS: Bodies = {
    ("GD", "apply_gradient"): "descend(self.lr / 2, grads, model)",
    ("SGD", "apply_gradient"): "descend(self.lr / 3, grads, model)",
    ("AdaGrad", "calculate_gradient"): "return gradients_of_loss(X, y, model)",
    ("Adam", "apply_gradient"): "descend(self.lr / 1000, grads, model)",
}


@dataclass(frozen=True)
class TestResult:
    """How one of the graded tests ended.

    Attributes:
        name: Grade id of the test cell.
        passed: Whether it ran without an error.
        points: Points given; 0 if it did not pass.
        possible: Points that it is worth.
        problem: Why it did not pass, in one line; None if it did.
    """

    __test__ = False  # not one of pytest's

    name: str
    passed: bool
    points: int
    possible: int
    problem: str | None


@dataclass(frozen=True)
class Checked:
    """What a check says about a notebook.

    Attributes:
        tests: The five tests, in the order of `POINTS`.
        errors: Other cells that failed, a line each.
        problems: Cells deleted or edited, signatures changed and banned optimizers, a
            line each.
        walls: Which walls stood while it ran, as `shears.notebooks.confinement` names
            them.
    """

    tests: list[TestResult]
    errors: list[str]
    problems: list[str]
    walls: list[str]

    @property
    def passed(self) -> bool:
        """Whether all tests pass and nothing is wrong with the cells."""
        return all(test.passed for test in self.tests) and not self.problems


def _label(document: Document, number: int) -> str:
    """Names a cell in a message: its grade id or first line."""
    cell = document.cells[number]
    first = source_of(cell).strip().split("\n")[0]
    return brief(grade_id(cell) or f"{number + 1} ({brief(first, 40)!r})")


class _Ran(NamedTuple):
    """A run: its tests, other cells' errors, why it was stopped, walls, numbers."""

    tests: list[TestResult]
    errors: list[str]
    stopped: str | None
    walls: list[str]
    wrong: dict[str, str | None]


def run(
    document: Document, limits: Limits, last: int | None = None
) -> tuple[list[TestResult], list[str]]:
    """Runs a notebook in a process of its own; no walls are around it.

    Args:
        document: The notebook.
        limits: What it may use.
        last: The number of the last cell to run; None: all.

    Returns:
        The results of its tests, and a line for each other cell that fails.
    """
    ran = _run(document, limits, last)
    return ran.tests, ran.errors


def _run(
    document: Document,
    limits: Limits,
    last: int | None = None,
    *,
    walls: Walls | None = None,
    recompute: bool = False,
) -> _Ran:
    """Runs a notebook as `run` does.

    Args:
        document: The notebook.
        limits: What it may use.
        last: The number of the last cell to run; None: all.
        walls: What locks it in, if anything.
        recompute: Whether, after the last test, its solutions are asked for numbers.
    """
    every = len(document.cells) if last is None else last + 1
    graded = graded_cells(document)
    solved = {number: name for name in SOLUTIONS for number in graded[name]}
    tested = {number for name in POINTS for number in graded[name]}
    final = max((n for n in solved.keys() | tested if n < every), default=-1)
    problem = draw_problem()
    sources: list[str] = []
    places: dict[int, int] = {}
    answer = None
    for number, cell in enumerate(document.cells[:every]):
        if number in solved or "mean_squared_error" in source_of(cell):
            sources.append(OLD_VERSIONS)
        if cell["cell_type"] == "code":
            places[number] = len(sources)
            sources.append(source_of(cell))
        if recompute and number in solved:
            sources.append(keep(solved[number]))
        if recompute and number == final:
            answer = len(sources)
            sources.append(ask(problem))
    results, stopped, standing = run_cells(sources, limits, walls=walls)
    by_number = {number: results[place] for number, place in places.items()}
    tests = []
    for name, points in POINTS.items():
        found = [by_number[number] for number in graded[name] if number in by_number]
        why = _problem(found, stopped)
        tests.append(TestResult(name, not why, 0 if why else points, points, why))
    errors = [
        f"cell {_label(document, number)}: {result.error}"
        for number, result in by_number.items()
        if result.error and number not in tested
    ]
    errors += [f"the run was stopped: {stopped}"] if stopped else []
    data = {} if answer is None else results[answer].data
    return _Ran(tests, errors, stopped, standing, judge(problem, data))


def _run_and_recompute(document: Document, limits: Limits) -> _Ran:
    """Runs a notebook behind walls; tests pass only if the numbers are right, too."""
    ran = _run(document, limits, walls=Confinement(), recompute=True)
    passed = {test.name for test in ran.tests if test.passed}
    wrong = ran.wrong
    if ran.stopped and passed:
        # It did not come to the numbers: run as far as the last test that passed.
        cells = graded_cells(document)
        last = max(number for name in passed for number in cells[name])
        again = _run(document, limits, last, walls=Confinement(), recompute=True)
        wrong = again.wrong
    tests = [
        replace(test, passed=False, points=0, problem=wrong[test.name])
        if test.passed and wrong[test.name]
        else test
        for test in ran.tests
    ]
    return ran._replace(tests=tests)


def _problem(results: list[CellResult], stopped: str | None) -> str | None:
    """Says why a test does not pass."""
    if not results:
        return "the cell is missing"
    for result in results:
        if result.error:
            return result.error
        if not result.finished:
            return f"it did not finish: {stopped or 'the kernel ended'}"
    return None


def _text(cell: Mapping[str, Any]) -> str:
    """Returns a cell's source, whatever line ends an editor gave it."""
    return source_of(cell).replace("\r\n", "\n").replace("\r", "\n")


def _checksum(cell: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> str:
    """Computes the checksum that nbgrader seals a cell with (``compute_checksum``)."""
    grade, solution = entry.get("grade", False), entry.get("solution", False)
    locked = not solution and (bool(grade) or entry.get("locked", False))
    parts = [_text(cell), cell["cell_type"], grade, solution, locked, name]
    if grade:
        parts.append(float(entry["points"]))
    return hashlib.md5("".join(map(str, parts)).encode()).hexdigest()


def _edited_tests(document: Document) -> Iterator[str]:
    """Finds test cells that are not as they were handed out, from the file alone."""
    cells = graded_cells(document)
    for name in POINTS:
        for number in cells[name]:
            cell = document.cells[number]
            entry = cell["metadata"]["nbgrader"]
            try:
                sealed = entry.get("checksum")
                intact = not sealed or sealed == _checksum(cell, name, entry)
                tree = parse_cell(source_of(cell))
            except (ArithmeticError, KeyError, SyntaxError, TypeError, ValueError):
                intact, tree = False, None
            if not intact:
                yield f"cell {name}: it was edited: its checksum does not match"
            elif tree is not None and not any(
                isinstance(part, ast.Assert | ast.Call | ast.Raise)
                for part in ast.walk(tree)
            ):
                yield f"cell {name}: it tests nothing"


def _hollow_tests(document: Document, names: set[str], limits: Limits) -> Iterator[str]:
    """Finds tests that pass with solutions that are known to be wrong.

    Raises:
        UserError: The notebook's solution cells cannot be replaced.
    """
    cells = graded_cells(document)
    of_the_model = {"test_LR_MSE"} & names
    for asked, bodies in (
        (of_the_model, WRONG_MODEL),
        (names - of_the_model, WRONG_OPTIMIZERS),
    ):
        if asked:
            last = max(number for name in asked for number in cells[name])
            wrong = fill_wrongly(document, bodies)
            again = _run(wrong, limits, last, walls=Confinement())
            for test in again.tests:
                if test.passed and test.name in asked:
                    yield f"cell {test.name}: a wrong solution passes it"


def _compared(document: Document, original: Document) -> Iterator[str]:
    """Finds cells of the original that the notebook does not have as they were."""
    left = Counter((c["cell_type"], _text(c).rstrip()) for c in document.cells)
    ids = {grade_id(cell) for cell in document.cells}
    for number, cell in enumerate(original.cells):
        name = grade_id(cell)
        if name in SOLUTIONS or not _text(cell).strip():
            continue
        key = (cell["cell_type"], _text(cell).rstrip())
        left[key] -= 1
        if left[key] < 0:
            kept = name in ids and name is not None
            what = "was edited" if kept else "was deleted or edited"
            yield f"cell {_label(original, number)}: it {what} (the original differs)"


def check(
    document: Document, limits: Limits, *, original: Document | None = None
) -> Checked:
    """Runs a filled notebook and says which tests pass, and what is wrong with it.

    It runs behind walls. Tests that pass are run again with wrong solutions: those of
    the course then fail.

    Args:
        document: The notebook.
        limits: What each of the runs may use.
        original: The notebook as it was handed out, if it is there to compare with.

    Raises:
        UserError: It has none of the graded cells, or the original has not all.
    """
    problems = problems_of(document)
    if not any(graded_cells(document).values()):
        raise UserError(problems[0])
    if original and (lacking := problems_of(original)):
        raise UserError(f"the original: {lacking[0]}")
    for name, source in source_by_id(document).items():
        if name in SOLUTIONS:
            try:
                banned = banned_names(source)
            except SyntaxError as error:
                problems.append(f"cell {name}: not Python: {brief(error.msg)}")
                banned = banned_words(source)
            problems += [
                f"cell {name}: found {brief(word, 60)}, expected none of TensorFlow's "
                "own optimizers"
                for word in sorted(banned)
            ]
    problems += signature_problems(document)
    problems += _edited_tests(document)
    if original:
        problems += _compared(document, original)
    ran = _run_and_recompute(document, limits)
    errors = ran.errors
    known = {n for n in POINTS if any(p.startswith(f"cell {n}: it ") for p in problems)}
    passed = {test.name for test in ran.tests if test.passed}
    try:
        problems += _hollow_tests(document, passed - known, limits)
    except UserError as error:
        errors.append(f"wrong solutions, which were not tried: {error}")
    return Checked(ran.tests, errors, problems, ran.walls)

"""Checks anybody's filled notebook of Part A: runs it, and looks for edited cells."""

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shears.notebooks.document import Document, source_of
from shears.notebooks.execution import CellResult, Limits, run_cells
from shears.notebooks.source import parse_cell
from shears.optimizer_study.course_notebook import (
    POINTS,
    SOLUTIONS,
    banned_names,
    grade_id,
    graded_cells,
    problems_of,
    source_by_id,
)
from shears.optimizer_study.fill import Bodies, fill_wrongly, signature_problems
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
    """

    tests: list[TestResult]
    errors: list[str]
    problems: list[str]

    @property
    def passed(self) -> bool:
        """Whether all tests pass and nothing is wrong with the cells."""
        return all(test.passed for test in self.tests) and not self.problems


def _label(document: Document, number: int) -> str:
    """Names a cell in a message: its grade id or first line."""
    cell = document.cells[number]
    first = source_of(cell).strip().split("\n")[0]
    return brief(grade_id(cell) or f"{number + 1} ({brief(first, 40)!r})")


def run(
    document: Document, limits: Limits, last: int | None = None
) -> tuple[list[TestResult], list[str]]:
    """Runs a notebook in a process of its own.

    Args:
        document: The notebook.
        limits: What it may use.
        last: The number of the last cell to run; None: all.

    Returns:
        The results of its tests, and a line for each other cell that fails.
    """
    every = len(document.cells) if last is None else last + 1
    cells = document.cells[:every]
    numbers = [n for n, cell in enumerate(cells) if cell["cell_type"] == "code"]
    sources = [source_of(document.cells[number]) for number in numbers]
    results, stopped = run_cells(sources, limits)
    by_number = dict(zip(numbers, results, strict=True))
    graded = graded_cells(document)
    tests = []
    for name, points in POINTS.items():
        found = [by_number[number] for number in graded[name] if number in by_number]
        problem = _problem(found, stopped)
        tests.append(
            TestResult(name, not problem, 0 if problem else points, points, problem)
        )
    tested = {number for name in POINTS for number in graded[name]}
    errors = [
        f"cell {_label(document, number)}: {result.error}"
        for number, result in by_number.items()
        if result.error and number not in tested
    ]
    return tests, errors + ([f"the run was stopped: {stopped}"] if stopped else [])


def _problem(results: list[CellResult], stopped: str | None) -> str | None:
    """Says why a test does not pass."""
    if not results:
        return "the cell is missing"
    for result in results:
        if result.error:
            return result.error
        if not result.finished:
            return f"not run to its end: {stopped or 'the kernel ended'}"
    return None


def _checksum(cell: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> str:
    """Computes the checksum that nbgrader seals a cell with (``compute_checksum``)."""
    grade, solution = entry.get("grade", False), entry.get("solution", False)
    locked = not solution and (bool(grade) or entry.get("locked", False))
    parts = [source_of(cell), cell["cell_type"], grade, solution, locked, name]
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
            again, _ = run(fill_wrongly(document, bodies), limits, last)
            for test in again:
                if test.passed and test.name in asked:
                    yield f"cell {test.name}: a wrong solution passes it"


def _compared(document: Document, original: Document) -> Iterator[str]:
    """Finds cells of the original that the notebook does not have as they were."""
    left = Counter((c["cell_type"], source_of(c).rstrip()) for c in document.cells)
    ids = {grade_id(cell) for cell in document.cells}
    for number, cell in enumerate(original.cells):
        name = grade_id(cell)
        if name in SOLUTIONS or not source_of(cell).strip():
            continue
        key = (cell["cell_type"], source_of(cell).rstrip())
        left[key] -= 1
        if left[key] < 0:
            kept = name in ids and name is not None
            what = "was edited" if kept else "was deleted or edited"
            yield f"cell {_label(original, number)}: it {what} (the original differs)"


def check(
    document: Document, limits: Limits, *, original: Document | None = None
) -> Checked:
    """Runs a filled notebook and says which tests pass, and what is wrong with it.

    Tests that pass are run again with wrong solutions: those of the course then fail.

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
                continue
            problems += [
                f"cell {name}: found {brief(word, 60)}, expected none of TensorFlow's "
                "own optimizers"
                for word in sorted(banned)
            ]
    problems += signature_problems(document)
    problems += _edited_tests(document)
    if original:
        problems += _compared(document, original)
    tests, errors = run(document, limits)
    known = {n for n in POINTS if any(p.startswith(f"cell {n}: it ") for p in problems)}
    passed = {test.name for test in tests if test.passed}
    try:
        problems += _hollow_tests(document, passed - known, limits)
    except UserError as error:
        errors.append(f"wrong solutions, which were not tried: {error}")
    return Checked(tests, errors, problems)

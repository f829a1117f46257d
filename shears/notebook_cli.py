"""The commands for Part A's notebook: shears notebook fill, shears notebook check."""

import argparse
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from shears.notebooks.document import Document, read_document
from shears.optimizer_study.course_notebook import POINTS
from shears.optimizer_study.fill import fill_file
from shears.runtime.errors import RefusedFile, UserError, brief
from shears.runtime.files import whole_file
from shears.runtime.packages import check_packages
from shears.runtime.paths import expand_of

PACKAGES = ("ipykernel", "jupyter_client", "nbclient", "nbformat", "psutil")
SHOWN = 3  # errors outside the tests

Answer = tuple[dict[str, Any], list[str]]


def _read(path: str) -> Document:
    try:
        return read_document(path)
    except UserError as error:
        raise RefusedFile(str(error)) from None


def _describe(tests: Any, errors: list[str], problems: list[str]) -> Answer:
    """Formats the outcome of a run."""
    points, most = sum(test.points for test in tests), sum(POINTS.values())
    lines = [
        f"{test.name:14}{'passed' if test.passed else 'failed':8}{test.points:3} of "
        f"{test.possible:2}" + (f"  {test.problem}" if test.problem else "")
        for test in tests
    ]
    lines.append(f"{'points':22}{points:3} of {most}")
    # One failure makes many: the first ones say enough.
    lines += [f"error: {line}" for line in errors[:SHOWN]]
    if len(errors) > SHOWN:
        lines.append(f"and {len(errors) - SHOWN} more errors")
    lines += [f"problem: {line}" for line in problems]
    passed = all(test.passed for test in tests) and not problems
    about = {
        "passed": passed,
        "points": points,
        "possible": most,
        "tests": [asdict(test) for test in tests],
        "errors": errors,
        "problems": problems,
    }
    return about, lines


def _limits(options: argparse.Namespace) -> Any:
    from shears.notebooks.limits import Limits

    return Limits(seconds=options.seconds, memory=options.memory << 20)


def fill(options: argparse.Namespace) -> Answer:
    """Fills the course's notebook with our optimizers, and runs its tests."""
    try:
        filled = fill_file(options.file, replace=options.replace)
    except UserError as error:
        raise RefusedFile(str(error)) from None
    output = Path(options.output)
    try:
        if not output.name or output.is_dir():
            raise RefusedFile(f"{output}: found a folder, expected a file for --output")
        if output.exists() and output.samefile(options.file):
            raise RefusedFile(f"{output}: is the notebook itself; give another one")
    except OSError as error:
        raise RefusedFile(f"{brief(output)}: {error.strerror}") from None
    check_packages(PACKAGES, "running a notebook", "notebook")
    from shears.optimizer_study.check import run

    tests, errors = run(filled, _limits(options))
    try:
        with whole_file(output) as file:
            file.write(filled.encode())
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}") from None
    about, lines = _describe(tests, errors, [])
    return about | {"file": options.file, "output": str(output)}, [
        *lines,
        f"written to {output}",
    ]


def check(options: argparse.Namespace) -> Answer:
    """Runs a filled notebook; says which tests pass, and names edited cells."""
    document = _read(options.file)
    original = _read(options.original) if options.original else None
    check_packages(PACKAGES, "running a notebook", "notebook")
    from shears.notebooks.confinement import missing_walls
    from shears.optimizer_study.check import check as check_notebook

    try:
        checked = check_notebook(document, _limits(options), original=original)
    except UserError as error:
        raise RefusedFile(f"{options.file}: {error}") from None
    about, lines = _describe(checked.tests, checked.errors, checked.problems)
    notes = missing_walls(checked.walls)
    about |= {"notes": notes, "file": options.file}
    return about, [*lines, *(f"note: {note}" for note in notes)]


def _positive(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 10**9:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number > 0")
    return int(text)


def add_commands(parser: argparse.ArgumentParser) -> None:
    """Adds the two commands and their options."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (fill, check):
        summary = (command.__doc__ or "").partition("\n")[0]
        sub = commands.add_parser(command.__name__, help=summary, description=summary)
        sub.set_defaults(command=command)
        path = partial(expand_of, "file")
        sub.add_argument("file", type=path, help="notebook (.ipynb)")
        if command is fill:
            sub.add_argument(
                "--output",
                type=partial(expand_of, "--output"),
                required=True,
                help="filled notebook to write",
            )
            sub.add_argument(
                "--replace",
                action="store_true",
                help="overwrite bodies that are already written",
            )
        else:
            sub.add_argument(
                "--original",
                type=partial(expand_of, "--original"),
                help="the notebook as handed out, to compare cells with",
            )
        sub.add_argument(
            "--seconds",
            type=_positive,
            default=600,
            help="time limit of each run (default: %(default)s)",
        )
        sub.add_argument(
            "--memory",
            type=_positive,
            default=4096,
            help="memory limit of each run, in MiB (default: %(default)s)",
        )
        sub.add_argument("--json", action="store_true", help="print JSON")

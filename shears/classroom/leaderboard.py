"""Writes the leaderboard of a class: a page, a table and a JSON file."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shears.classroom.board import Last, make_board, read_last
from shears.classroom.page import write_page
from shears.classroom.pseudonyms import give_pseudonyms
from shears.classroom.scoring import Scored, score_files
from shears.classroom.submissions import find_students
from shears.classroom.tables import write_table
from shears.data.dataset import Split
from shears.runtime.errors import RefusedFile, UserError
from shears.runtime.files import write_json

log = logging.getLogger(__name__)

PAGE, TABLE, BOARD = (f"leaderboard.{kind}" for kind in ("html", "csv", "json"))
#: A copy of the last board. Snakemake removes its outputs before it makes them again.
KEPT = ".last_leaderboard.json"
CACHE = "scores"  #: the folder of the scores that are known
OFTEN = 25  # files read from one line of progress to the next

ScoreFiles = Callable[..., Iterable[tuple[Path, Scored, bool]]]


class Leaderboard(NamedTuple):
    """A leaderboard that was written.

    Attributes:
        board: What its JSON file has (`shears.classroom.board.make_board`).
        notes: Lines for the teacher.
        read: Number of files that were read.
        cached: Number of files whose score was known.
        page: The HTML file.
    """

    board: dict[str, Any]
    notes: list[str]
    read: int
    cached: int
    page: Path


def digest_images(test: Split) -> str:
    """Digests test images and their labels, wherever they were read from."""
    digest = hashlib.sha256(repr(test.images.shape).encode())
    digest.update(test.images.data)
    digest.update(test.labels.data)
    return digest.hexdigest()


def _find_last(output: Path, images: int, anonymous: bool) -> tuple[Last | None, str]:
    """Reads the last board; returns it, or a line that says why there is none."""
    for path in (output / BOARD, output / KEPT):
        try:
            return read_last(path, images=images, anonymous=anonymous), ""
        except FileNotFoundError:
            continue
        except OSError as error:
            reason = f"{path}: {error.strerror}"
        except UserError as error:
            reason = str(error)
        return None, f"no changes since the last leaderboard are shown: {reason}"
    return None, "this is the first leaderboard: it shows no changes"


def write_leaderboard(
    submissions: Path,
    output: Path,
    read_test: Callable[[], Split],
    *,
    anonymous: bool = False,
    prepare: Callable[[], object] = lambda: None,
    score: ScoreFiles = score_files,
) -> Leaderboard:
    """Scores a class and writes its leaderboard.

    Scores are kept beside it, so that the next run reads only files that are new or
    were refused, also after a run that failed or was killed.

    Args:
        submissions: The folder of the class (`find_students`).
        output: The folder of the results; created if it is missing.
        read_test: Reads the test images.
        anonymous: Whether pseudonyms take the place of names.
        prepare: Called before a file is scored, if one is new.
        score: Scores files, as `score_files` does.

    Raises:
        RefusedFile: The folder is no class.
        UserError: The images or the pseudonyms' key cannot be used.
        OSError: The results cannot be written.
    """
    if output.is_dir() and submissions.is_dir() and output.samefile(submissions):
        raise RefusedFile(
            f"{output}: found the folder of the class, expected another for the "
            "leaderboard"
        )
    try:
        students, notes = find_students(submissions, output)
    except UserError as error:
        raise RefusedFile(str(error)) from None
    test = read_test()
    output.mkdir(parents=True, exist_ok=True)
    pseudonyms = give_pseudonyms(students, output) if anonymous else None
    paths = [one.path for student in students for one in student.uploads if one.path]

    def ready() -> Split:
        prepare()
        return test

    scored: dict[Path, Scored] = {}
    cached = 0
    digest = digest_images(test)
    found = score(paths, ready, images=digest, cache=output / CACHE)
    for number, (path, known, was_known) in enumerate(found, 1):
        scored[path] = known
        cached += was_known
        if not was_known and (number - cached) % OFTEN == 0:
            log.info("%d of %d files", number, len(paths))
    images = len(test.labels)
    last, note = _find_last(output, images, anonymous)
    board = make_board(
        students, scored, images=images, last=last, pseudonyms=pseudonyms
    )
    write_page(board, output / PAGE)
    write_table(output / TABLE, board)
    write_json(output / BOARD, board)
    write_json(output / KEPT, board)
    notes = [*notes, *([note] if note else [])]
    return Leaderboard(board, notes, len(paths) - cached, cached, output / PAGE)


def describe(leaderboard: Leaderboard, best: int = 10) -> list[str]:
    """Formats a leaderboard as lines: the best students, counts and notes."""
    students: Sequence[dict[str, Any]] = leaderboard.board["students"]
    ranked: list[dict[str, Any]] = [student for student in students if student["rank"]]
    width = min(40, max([len("name"), *(len(s["name"]) for s in ranked[:best])]))
    lines = [
        f"{'rank':>4}  {'name':{width}}{'score':>10}{'accuracy':>10}{'sparsity':>10}"
    ]
    lines += [
        f"{s['rank']:>4}  {s['name'][:width]:{width}}{s['score']:>10.6f}"
        f"{s['accuracy']:>10.4f}{s['sparsity']:>10.4f}"
        for s in ranked[:best]
    ]
    refused = len(students) - len(ranked)
    uploads = sum(len(student["uploads"]) for student in students)
    lines += [
        f"students   {len(students):,}: {len(ranked):,} ranked, {refused:,} refused; "
        f"{uploads:,} uploads",
        f"files      {leaderboard.read:,} read, {leaderboard.cached:,} scores from the "
        "cache",
        *(f"note       {note}" for note in leaderboard.notes),
        f"page       {leaderboard.page}",
    ]
    return lines

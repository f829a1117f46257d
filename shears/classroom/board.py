"""The board of a class: ranks, changes since the last one, and hints of copies."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from shears.classroom.scoring import Scored
from shears.classroom.submissions import Student
from shears.classroom.uploads import Upload
from shears.evaluation.score import LEAST_ACCURACY
from shears.runtime.errors import UserError, brief
from shears.runtime.files import read_json

SAME_SCORE = 1e-9
MOST_HINTS = 100  #: names in a hint; a group of n students would have n^2 names
NUMBERS = ("score", "accuracy", "correct", "zeros", "sparsity")
Last = Mapping[str, tuple[float | None, int | None]]


def _time(time: datetime | None) -> str | None:
    """Formats a time in UTC."""
    if time is None:
        return None
    return f"{time.astimezone(UTC).replace(tzinfo=None, microsecond=0).isoformat()}Z"


def read_last(path: Path, *, images: int, anonymous: bool) -> Last:
    """Reads what changes are counted from: each name's score and rank.

    Raises:
        UserError: The file is no board, or one of other images or names.
        OSError: It cannot be read.
    """
    board = read_json(path)
    try:
        rows = [(row["name"], row["score"], row["rank"]) for row in board["students"]]
        kept = (board["images"], board["anonymous"])
    except (KeyError, TypeError):
        raise UserError(f"{path}: found no leaderboard") from None
    if kept != (images, anonymous):
        raise UserError(f"{path}: it has other test images or other names")
    for name, score, rank in rows:
        known = isinstance(score, int | float | None) and isinstance(rank, int | None)
        if not isinstance(name, str) or not known:
            raise UserError(f"{path}: found no leaderboard")
    return {name: (score, rank) for name, score, rank in rows}


def rank(scores: Iterable[float]) -> list[int]:
    """Ranks scores that fall; equal ones (to 1e-9) share a rank: 1, 2, 2, 4."""
    ranks: list[int] = []
    best = None
    for place, score in enumerate(scores, 1):
        if best is None or best - score > SAME_SCORE:
            best, shared = score, place
        ranks.append(shared)
    return ranks


class _Copies:
    """Finds who shares weights or a mask, without comparing pairs."""

    def __init__(self, known: Mapping[str, Scored]) -> None:
        self._known = known
        self._weights: defaultdict[str, list[str]] = defaultdict(list)
        # Of each mask, the weights that have it.
        self._masks: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for name, scored in known.items():
            if scored.weights:
                self._weights[scored.weights].append(name)
                if scored.mask:
                    self._masks[scored.mask][scored.weights] = None

    def of(self, name: str) -> dict[str, list[str]]:
        """Returns the others with equal weights, and those with equal masks only."""
        own = self._known[name]
        if not own.weights:
            return {"same_weights": [], "same_mask": []}
        equal = (other for other in self._weights[own.weights] if other != name)
        near = (
            other
            for weights in (self._masks[own.mask] if own.mask else ())
            if weights != own.weights
            for other in self._weights[weights]
        )
        return {
            "same_weights": list(islice(equal, MOST_HINTS)),
            "same_mask": list(islice(near, MOST_HINTS)),
        }


def _change(name: str, score: Any, rank: Any, last: Last | None) -> dict[str, Any]:
    before = None if last is None else last.get(name)
    change: dict[str, Any] = {"score": None, "rank": None}
    if before and None not in (score, before[0]):
        change["score"] = score - before[0]
    if before and None not in (rank, before[1]):
        change["rank"] = before[1] - rank
    return change | {"new": last is not None and before is None}


def make_board(
    students: Sequence[Student],
    scored: Mapping[Path, Scored],
    *,
    images: int,
    last: Last | None = None,
    pseudonyms: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Makes the board, which the page, the table and the JSON file show.

    Args:
        students: Whose names differ.
        scored: What is known about each of their files.
        images: Number of test images.
        last: Score and rank of each name on the last board, if there is one.
        pseudonyms: Names to show, by identity. Then nothing else on the board names a
            student or a file.

    Returns:
        About the board, and ``students``, ranked ones first; of JSON's types only.
    """

    def find(upload: Upload) -> Scored:
        known = upload.path and scored.get(upload.path)
        return known or Scored("", 0, upload.problem or "it was not scored")

    rows, known = [], {}
    for student in students:
        name = student.name if pseudonyms is None else pseudonyms[student.identity]
        upload = student.uploads[-1]
        counted = find(upload)
        if student.problem:
            counted = Scored("", 0, student.problem)
        is_shown = pseudonyms is None and not student.problem
        known[name] = counted
        rows.append(
            {
                "name": name,
                "rank": None,
                **{key: getattr(counted, key) for key in NUMBERS},
                "time": None if student.problem else _time(upload.time),
                "file": upload.file if is_shown else None,
                "bytes": counted.bytes or None,
                "sha256": (counted.sha256 or None) if is_shown else None,
                "refused": counted.refused and brief(counted.refused, 400),
                "uploads": [
                    {
                        "time": _time(one.time),
                        **{
                            key: getattr(found, key)
                            for key in ("score", "accuracy", "sparsity")
                        },
                        "refused": found.refused and brief(found.refused, 400),
                    }
                    for one in student.uploads
                    for found in (find(one),)
                ],
            }
        )
    rows.sort(key=lambda row: (row["name"].casefold(), row["name"]))
    rows.sort(key=lambda row: (row["score"] is None, -(row["score"] or 0)))
    ranked = [row["score"] for row in rows if row["score"] is not None]
    for row, place in zip(rows, rank(ranked), strict=False):
        row["rank"] = place
    # In the order of the names that are shown: that of the real ones would tell.
    copies = _Copies(dict(sorted(known.items())))
    for row in rows:
        row["change"] = _change(row["name"], row["score"], row["rank"], last)
        row |= copies.of(row["name"])
    return {
        "made": _time(datetime.now(UTC)),
        "images": images,
        "least_accuracy": LEAST_ACCURACY,
        "anonymous": pseudonyms is not None,
        "students": rows,
    }

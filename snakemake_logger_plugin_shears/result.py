"""What is shown when a run ends: the candidates, the choice, where the results are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

LEAST_ACCURACY = 0.65  # the assignment's; what is above it is the margin
MOST_ROWS = 12


def duration(seconds: float) -> str:
    """Formats a time as "0:05", "12:34" or "1:02:03"."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    return f"{minutes}:{rest:02d}"


def _read(path: Path) -> dict[str, Any]:
    """Reads a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def candidates_table(
    results: Path, candidates: Sequence[str], *, ascii_only: bool
) -> Table | None:
    """Lists candidates and marks the chosen one.

    Args:
        results: The folder of results.
        candidates: Their names, folders in it.
        ascii_only: Whether the terminal shows no other characters.

    Returns:
        None if there is no choice to be shown. Of more than 12 candidates, those with
        the best validation scores.
    """
    try:
        choice = _read(results / "choice.json")
        rows = [
            (
                name,
                _read(results / name / "score_validation.json"),
                _read(results / name / "score_test.json"),
            )
            for name in candidates
        ]
        chosen = choice["candidate"]
        rows = [
            row
            for row in rows
            if row
            in sorted(rows, key=lambda row: (row[0] != chosen, -row[1]["score"]))[
                :MOST_ROWS
            ]
        ]
    except (OSError, ValueError, KeyError):
        return None
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("candidate", no_wrap=True, overflow="ellipsis")
    for heading in ("score", "accuracy", "sparsity", "over 0.65"):
        table.add_column(heading, justify="right", no_wrap=True)
    mark = ">" if ascii_only else "→"
    for name, _, test in rows:
        table.add_row(
            f"{mark if name == chosen else ' '} {name}",
            f"{test['score']:.4f}",
            f"{test['accuracy']:.4f}",
            f"{test['sparsity']:.4f}",
            f"{test['accuracy'] - LEAST_ACCURACY:+.4f}",
            style="bold" if name == chosen else "",
        )
    more = len(candidates) - len(rows)
    table.caption_justify = "left"
    table.caption = Text(
        f"{mark} chosen on validation images; all values are on test images"
        + (f"; {more} more candidates in the report" if more else "")
    )
    return table


def paths_of(results: Path, targets: Sequence[str]) -> list[tuple[str, str]]:
    """Lists the files that matter and exist, with what each is.

    Args:
        results: The folder of results.
        targets: What the run was asked for; nothing if for the whole.
    """
    known = [("made", Path(target)) for target in targets] or [
        ("report", results / "report.html"),
        ("submission", results / "submission/my_model_weights.h5"),
        ("scores", results / "submission/manifest.json"),
    ]
    return [(name, str(path)) for name, path in known if path.exists()]

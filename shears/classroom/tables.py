"""The board as a table that a spreadsheet opens."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shears.runtime.errors import printable
from shears.runtime.files import write_csv

# Spreadsheets take these for the beginning of a formula; the last four are Japanese.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
COLUMNS = (
    "rank name score accuracy correct zeros sparsity time file bytes sha256 refused "
    "score_change rank_change new same_weights same_mask uploads"
).split()


def harmless(text: str) -> str:
    """Puts an apostrophe before a text that a spreadsheet would take for a formula.

    The text is what follows it then; no other text gets the same form.
    """
    return f"'{text}" if text.lstrip(" '").startswith(FORMULA) else text


def to_cell(text: str) -> str:
    """Makes any text one that CSV and UTF-8 can hold and no spreadsheet runs."""
    return harmless(printable(text))


def write_table(path: str | Path, board: Mapping[str, Any]) -> None:
    """Writes a board as CSV, a row per student.

    Args:
        path: The file.
        board: As `shears.classroom.board.make_board` returns it.
    """
    rows = []
    for student in board["students"]:
        change = student["change"]
        row = student | {
            "score_change": change["score"],
            "rank_change": change["rank"],
            "new": change["new"],
            "same_weights": "; ".join(student["same_weights"]),
            "same_mask": "; ".join(student["same_mask"]),
            "uploads": len(student["uploads"]),
        }
        rows.append(
            {
                key: to_cell(row[key]) if isinstance(row[key], str) else row[key]
                for key in COLUMNS
            }
        )
    write_csv(path, rows, COLUMNS)

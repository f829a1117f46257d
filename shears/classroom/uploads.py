"""Finds the weights file in what one student handed in.

Nothing outside is read: no link is followed, and only a regular file is opened.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shears.classroom.submitted_file import find_candidates
from shears.runtime.errors import UserError, without_name
from shears.runtime.files import open_regular

PREFERRED = "my_model_weights.h5"
SUFFIXES = (".h5", ".hdf5", ".keras")
KINDS = ".h5, .hdf5 or .keras"
MOST_BYTES = 64 << 20  #: of a weights file; with an optimizer's state it has 15 MB


@dataclass(frozen=True)
class Upload:
    """What a student handed in at one time.

    Attributes:
        time: When, in UTC, if it is known.
        path: The weights file; None if there is a problem.
        file: Its path below the folder of the class.
        problem: Why there is no file to score, in one line without names.
    """

    time: datetime | None = None
    path: Path | None = None
    file: str | None = None
    problem: str | None = None


def is_weights(name: str) -> bool:
    """Returns whether a file's name is that of a weights file."""
    return name.lower().endswith(SUFFIXES)


def _check(path: Path) -> None:
    """Checks that a weights file can be read, without reading it.

    Raises:
        UserError: It is a link, no file, too large or not readable.
    """
    try:
        if path.is_symlink():
            raise UserError("its weights file is a link, which is not followed")
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
    except UserError as error:  # its text names the file
        raise UserError(without_name(path, error)) from None
    except OSError as error:
        raise UserError(f"its weights file cannot be read: {error.strerror}") from None
    if size > MOST_BYTES:
        raise UserError(
            f"its weights file has {size:,} bytes, expected at most {MOST_BYTES:,}"
        )


def look(
    root: Path, places: Sequence[tuple[str, os.DirEntry[str]]], time: datetime | None
) -> Upload:
    """Finds the weights file among what a student handed in.

    Args:
        root: The folder of the class.
        places: Folders and files; a file has the name that the student gave it.
        time: When it was handed in.
    """
    try:
        if any(e.is_symlink() and not is_weights(given) for given, e in places):
            raise UserError("found a link, which is not followed")
        found = find_candidates(places, PREFERRED, SUFFIXES)
        if not found:
            raise UserError(f"found no weights file ({KINDS})")
        if len(found) > 1:
            named = any(name == PREFERRED for name, _ in found)
            kind = f" named {PREFERRED}" if named else f", none named {PREFERRED}"
            raise UserError(
                f"found {len(found)} weights files{kind}: which one counts is not known"
            )
        path = Path(found[0][1].path)
        _check(path)
    except UserError as error:
        return Upload(time, problem=str(error))
    except OSError as error:
        return Upload(time, problem=f"its folder cannot be read: {error.strerror}")
    return Upload(time, path, str(path.relative_to(root)))

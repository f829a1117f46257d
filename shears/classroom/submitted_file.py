"""Finds the file to grade among those that a student has uploaded."""

import os
from collections.abc import Iterator
from pathlib import Path

from shears.runtime.errors import UserError, brief

MOST = 10_000  #: files and folders that are looked at


def _files(folder: Path) -> Iterator[Path]:
    """Yields regular files; links and hidden folders are passed over."""
    left = MOST
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(
            name for name in folders if name[0] != "." and name != "__MACOSX"
        )
        left -= len(folders) + len(names)
        if left < 0:
            raise UserError(f"found more than {MOST:,} files, expected your file alone")
        for name in sorted(names):
            path = Path(place, name)
            if name[0] != "." and path.is_file() and not path.is_symlink():
                yield path


def find_file(folder: Path, expected: str, suffixes: tuple[str, ...]) -> Path:
    """Finds a student's file.

    Args:
        folder: What was uploaded, unpacked.
        expected: The name that the assignment asks for. One in `folder` itself comes
            first, then one elsewhere.
        suffixes: Of other names that are taken if there is one such file.

    Raises:
        UserError: There is none, or more than one. One line says what was found.
    """
    fitting = [path for path in _files(folder) if path.name.endswith(suffixes)]
    named = [path for path in fitting if path.name == expected]
    if folder / expected in named:
        return folder / expected
    candidates = named or fitting
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        raise UserError(f"found no {expected} in your upload, and no other such file")
    names = ", ".join(str(path.relative_to(folder)) for path in candidates[:10])
    raise UserError(
        f"found {len(candidates)} files ({brief(names, 300)}), expected one: upload "
        f"{expected} alone"
    )

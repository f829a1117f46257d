"""Finds a student's file among those that were handed in.

No link is followed. Hidden files and folders, and those that systems add, are passed
over.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from shears.runtime.errors import RefusedFile, UserError, brief

MOST_FILES = 10_000  #: files and folders that are looked at


def visible(folder: Path, leave_out: Path | None = None) -> list[os.DirEntry[str]]:
    """Lists a folder by name, without what systems put there and students never see."""
    with os.scandir(folder) as entries:
        return sorted(
            (
                entry
                for entry in entries
                if not entry.name.startswith(".")
                and entry.name != "__MACOSX"
                and not (leave_out and _is_same(entry, leave_out))
            ),
            key=lambda entry: os.fsencode(entry.name),
        )


def _is_same(entry: os.DirEntry[str], folder: Path) -> bool:
    """Returns whether an entry is this folder, which may not exist yet."""
    try:
        found, other = entry.stat(follow_symlinks=False), folder.stat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (other.st_dev, other.st_ino)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry is a folder, and no link to one."""
    return entry.is_dir(follow_symlinks=False)


def _levels(
    places: Iterable[tuple[str, os.DirEntry[str]]],
) -> Iterator[list[tuple[str, os.DirEntry[str]]]]:
    """Yields what is no folder, with its name: first that at the top, then below."""
    left, level = MOST_FILES, list(places)
    while level:
        yield [(name, entry) for name, entry in level if not is_folder(entry)]
        folders = [entry for _, entry in level if is_folder(entry)]
        level = []
        for folder in folders:
            inner = visible(Path(folder.path))
            left -= len(inner)
            if left < 0:
                raise UserError(f"found more than {MOST_FILES:,} files")
            level += [(entry.name, entry) for entry in inner]


def find_candidates(
    places: Iterable[tuple[str, os.DirEntry[str]]],
    expected: str,
    suffixes: tuple[str, ...],
) -> list[tuple[str, os.DirEntry[str]]]:
    """Finds the files that may be the one to take; if there are several, none is.

    Args:
        places: Files and folders that were handed in, each with the name that the
            student gave it.
        expected: The name that the assignment asks for. The files of this name in the
            least depth come first.
        suffixes: In lower case, of other names that are taken if there is one such
            file at any depth.

    Returns:
        Their names and places. A link or a FIFO may be among them.

    Raises:
        UserError: There are too many files to look at.
        OSError: A folder cannot be read.
    """
    fitting = []
    for level in _levels(places):
        if named := [(name, entry) for name, entry in level if name == expected]:
            return named
        fitting += [item for item in level if item[0].lower().endswith(suffixes)]
    return fitting


def find_file(folder: Path, expected: str, suffixes: tuple[str, ...]) -> Path:
    """Finds a student's file in a folder. Only regular files count.

    Args:
        folder: What was uploaded, unpacked.
        expected: As for `find_candidates`.
        suffixes: As for `find_candidates`.

    Raises:
        RefusedFile: There is none, or more than one. One line says what was found.
    """
    try:
        places = [(entry.name, entry) for entry in visible(folder)]
        found = find_candidates(places, expected, suffixes)
    except UserError as error:
        raise RefusedFile(f"{error}, expected your file alone") from None
    except OSError as error:
        raise RefusedFile(f"your upload cannot be read: {error.strerror}") from None
    paths = [Path(e.path) for _, e in found if e.is_file(follow_symlinks=False)]
    if len(paths) == 1:
        return paths[0]
    if not paths:
        raise RefusedFile(f"found no {expected} in your upload, and no other such file")
    names = ", ".join(str(path.relative_to(folder)) for path in paths[:10])
    raise RefusedFile(
        f"found {len(paths)} files ({brief(names, 300)}), expected one: upload "
        f"{expected} alone"
    )

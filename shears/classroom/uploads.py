"""Finds the weights file in what one student handed in.

Nothing outside is read: no link is followed, and only a regular file is opened.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from shears.runtime.errors import UserError, printable
from shears.runtime.files import open_regular

PREFERRED = "my_model_weights.h5"
SUFFIXES = (".h5", ".hdf5", ".keras")
KINDS = ".h5, .hdf5 or .keras"
MOST_BYTES = 64 << 20  #: of a weights file; with an optimizer's state it has 15 MB
DEEPEST = 4  #: levels of folders below a student's
MOST_FILES = 10_000  #: in a student's folder


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


def is_weights(name: str) -> bool:
    """Returns whether a file's name is that of a weights file."""
    return name.lower().endswith(SUFFIXES)


def _files(entry: os.DirEntry[str]) -> Iterator[tuple[str, Path]]:
    """Yields name and path of the files in a folder, at a few levels, or of a file.

    Raises:
        UserError: A link is in place of the folder, or it has too many files or levels.
        OSError: A folder cannot be read.
    """
    if entry.is_symlink() and not is_weights(entry.name):
        raise UserError("found a link, which is not followed")
    if not is_folder(entry):
        yield entry.name, Path(entry.path)
        return
    left, folders = MOST_FILES, [(Path(entry.path), 0)]
    while folders:
        folder, level = folders.pop()
        for inner in visible(folder):
            left -= 1
            if left < 0:
                raise UserError(f"found more than {MOST_FILES:,} files")
            if not is_folder(inner):
                yield inner.name, Path(inner.path)
            elif level == DEEPEST:
                raise UserError(f"found folders at more than {DEEPEST} levels")
            else:
                folders.append((Path(inner.path), level + 1))


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
        reason = str(error).removeprefix(f"{printable(str(path))}: ")
        raise UserError(reason) from None
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
        files = [
            (given if path == Path(entry.path) else name, path)
            for given, entry in places
            for name, path in _files(entry)
        ]
        paths = [path for name, path in files if is_weights(name)]
        preferred = [path for name, path in files if name == PREFERRED]
        if not paths:
            raise UserError(f"found no weights file ({KINDS})")
        if len(paths) > 1 and len(preferred) != 1:
            count, kind = len(preferred), f"weights files named {PREFERRED}"
            if not preferred:
                count, kind = len(paths), f"weights files, none named {PREFERRED}"
            raise UserError(f"found {count} {kind}: which one counts is not known")
        path = preferred[0] if len(paths) > 1 else paths[0]
        _check(path)
    except UserError as error:
        return Upload(time, problem=str(error))
    except OSError as error:
        return Upload(time, problem=f"its folder cannot be read: {error.strerror}")
    return Upload(time, path, str(path.relative_to(root)))

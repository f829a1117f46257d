"""Files that are written whole or not at all; later damage is detected.

Each file ``name`` that a job writes has its checksum beside it in ``.name.sha256``, in
the format of ``sha256sum``, and reading verifies it. A file without one (brought from
elsewhere) is accepted as it is.
"""

import csv
import errno
import fcntl
import glob
import hashlib
import io
import json
import os
import pwd
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from shears.runtime.errors import UserError, brief

# What flock fails with on a file system without locks.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
ROOM = 1 << 20  #: bytes; Snakemake needs some for its own records


@contextmanager
def whole_file(path: str | Path) -> Iterator[BinaryIO]:
    """Yields a new file that replaces `path` when the block succeeds.

    Until then it is ``.name.*.part``, with random letters, so that nobody who shares
    the folder can put a link in its place. A killed process leaves it behind; the next
    attempt removes it.

    Args:
        path: The final name; its folder is created if it is missing. A link of this
            name is replaced, not followed.

    Raises:
        OSError: The folder is not writable, the disk is full or another process is
            writing the same file. The error names `path`, and nothing is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        with temporary.open("xb") as file:
            try:
                _lock(file.fileno())
                yield file
                file.flush()
                os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except BlockingIOError as error:
        text = "another process is writing this file"
        raise OSError(error.errno, text, str(path)) from error
    except OSError as error:  # a failed write names no file, or the temporary one
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error


def _lock(descriptor: int) -> bool:
    """Locks a file for as long as it is open; returns whether there are locks.

    Raises:
        BlockingIOError: Another process has locked it.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _remove_leftovers(path: Path) -> None:
    """Removes what killed writers of a file have left.

    Without locks, leftovers stay: another process might be writing one of them.

    Raises:
        BlockingIOError: Another process is writing the file.
    """
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            descriptor = os.open(left, flags)
        except OSError:  # a link, or gone by now
            continue
        try:
            if _lock(descriptor):
                left.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def open_regular(path: str | Path, expected: str = "a file") -> io.BufferedReader:
    """Opens a file to read, if it is a regular one; a FIFO would block.

    Args:
        path: The file.
        expected: What it should be, for the error.

    Raises:
        UserError: It is something else.
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO"}
        actual = kind.get(stat.S_IFMT(mode), "a device or socket")
        raise UserError(f"{path}: found {actual}, expected {expected}")
    return os.fdopen(descriptor, "rb")


def no_link(name: str, flags: int) -> int:
    """Opens a file that is written under its own name: an ``opener`` for ``open``.

    Whoever shares the folder could have put a link to another file there, or a FIFO.

    Raises:
        OSError: It is one of these, or not writable.
    """
    return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)


def check_room(folder: str | Path) -> int:
    """Checks before a run begins that its disk is not nearly full.

    Args:
        folder: Where the run writes; created if it is missing.

    Returns:
        The bytes that are free.

    Raises:
        UserError: Less than `ROOM` is free, or the folder cannot be created.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; the run writes to it") from None
    if free < ROOM:
        raise UserError(
            f"{folder}: {free:,} bytes are free on its disk, expected at least "
            f"{ROOM:,}: make room and run again"
        )
    return free


def check_writable(places: Iterable[str | Path]) -> None:
    """Checks before a run is planned that it may write where it will.

    Args:
        places: Files and folders; for one that does not exist yet, the folder that it
            would be created in is checked.

    Raises:
        UserError: One may not be written.
    """
    for place in places:
        place = Path(place).absolute()
        place = next(p for p in (place, *place.parents) if os.path.exists(p))
        kind, needed = "a file", os.W_OK
        if os.path.isdir(place):
            kind, needed = "a folder", os.W_OK | os.X_OK
        if not os.access(place, needed):
            user, owner = _user(os.geteuid()), _user(os.stat(place).st_uid)
            raise UserError(
                f"{place}: found {kind} of {owner} that {user} may not write, expected "
                "one that a run can write: work in a copy of your own"
            )


def _user(number: int) -> str:
    """Returns a user's name; containers often have users without one."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _seal(path: Path) -> Path:
    """Returns the path of the file that holds a file's checksum."""
    return path.with_name(f".{path.name}.sha256")


def write_bytes(path: str | Path, content: bytes | memoryview) -> None:
    """Writes a file, whole or not at all, and its checksum beside it."""
    forget_checksum(path)
    with whole_file(path) as file:
        file.write(content)
    write_checksum(path, hashlib.sha256(content).hexdigest())


def forget_checksum(path: str | Path) -> None:
    """Removes a file's checksum, before the file is replaced.

    After a kill the file has none then, not a wrong one.
    """
    _seal(Path(path)).unlink(missing_ok=True)


def write_checksum(path: str | Path, sha256: str) -> None:
    """Writes a file's checksum beside it."""
    path = Path(path)
    with whole_file(_seal(path)) as file:
        file.write(f"{sha256}  {path.name}\n".encode())


def damaged(path: str | Path, reason: object) -> UserError:
    """Returns the error for a damaged file of a job; it says how to make it again."""
    # Only this file: what was made from it is kept if it comes out the same.
    return UserError(
        f"{path}: damaged ({brief(reason, 250)}): delete it and make it again: "
        f"snakemake {path} (with --configfile, if you use one)"
    )


def _read_text(path: Path) -> str:
    with open_regular(path) as file:
        return file.read().decode("utf-8", "replace")


def verify(path: str | Path) -> None:
    """Compares a file to the checksum beside it, if there is one.

    Raises:
        UserError: The file is not what was written, or its checksum cannot be told.
        OSError: The file or its checksum cannot be read.
    """
    path = Path(path)
    seal = _seal(path)
    try:
        expected, *_ = [*_read_text(seal).split(), ""]
    except FileNotFoundError:
        return
    if not re.fullmatch("[0-9a-f]{64}", expected):
        raise UserError(
            f"{path}: its checksum file {seal.name} has no sha256 at its start, so it "
            "cannot be checked: make both again by: "
            f"snakemake --force {path} (with --configfile, if you use one)"
        )
    actual = checksum(path)
    if expected != actual:
        raise damaged(path, f"its sha256 is {actual}, but {seal.name} says {expected}")


def known_checksum(path: str | Path) -> str:
    """Returns the sha256 beside a file, or computes it if there is none."""
    with suppress(OSError, UserError):
        if known := re.match(r"[0-9a-f]{64}\b", _read_text(_seal(Path(path)))):
            return known[0]
    return checksum(path)


def read_json(path: str | Path) -> dict[str, Any]:
    """Reads a JSON file.

    Raises:
        UserError: It is damaged.
    """
    verify(path)
    try:
        with open_regular(path) as file:
            return json.load(file)
    except ValueError as error:
        raise damaged(path, error) from error


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file, its keys in the given order; refuses NaN and infinity."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def write_csv(
    path: str | Path,
    rows: Iterable[Mapping[str, Any]],
    columns: Iterable[str] | None = None,
) -> None:
    """Writes a CSV file with a header.

    Args:
        path: The file.
        rows: With the same keys.
        columns: The keys; without them there must be a row.
    """
    rows = list(rows)
    text = io.StringIO()
    names = list(rows[0] if columns is None else columns)
    writer = csv.DictWriter(text, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def read_csv(path: str | Path) -> list[dict[str, float]]:
    """Reads a CSV file of numbers.

    Raises:
        UserError: It is damaged.
    """
    verify(path)
    try:
        with io.TextIOWrapper(open_regular(path), "utf-8", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            return [{key: float(value) for key, value in row.items()} for row in rows]
    except (ValueError, TypeError, csv.Error) as error:
        raise damaged(path, error) from error


def checksum(path: str | Path, algorithm: str = "sha256") -> str:
    """Computes a file's checksum, in hexadecimal.

    Raises:
        UserError: It is no regular file.
        OSError: It cannot be read.
    """
    with open_regular(path) as file:
        return hashlib.file_digest(file, algorithm).hexdigest()

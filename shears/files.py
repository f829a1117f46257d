"""Files that are written whole or not at all."""

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from shears.errors import UserError


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path that takes `path`'s place when the block succeeds.

    Args:
        path: The final name; its folder is made if it is missing.

    Raises:
        OSError: The folder cannot be written or the disk is full; it names `path`, and
            nothing is left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp's are for the owner only
        temporary.replace(path)
    except OSError as error:  # a failed write names no file, or the temporary one
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a whole file."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_json(path: str | Path, content: Mapping) -> None:
    """Writes a JSON file, keys in the order given. NaN and infinity are refused."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def _damaged(path: str | Path, error: Exception) -> UserError:
    """Says that a file a stage made is not whole, and how to make it anew."""
    return UserError(
        f"{path}: damaged ({error}): delete it and run again, it is made anew"
    )


def read_json(path: str | Path) -> dict:
    """Reads a JSON file.

    Raises:
        UserError: It is damaged.
    """
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise _damaged(path, error) from error


def write_csv(path: str | Path, rows: Iterable[Mapping]) -> None:
    """Writes a CSV file with a header from rows that share their keys."""
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(path, text.getvalue().encode())


def read_csv(path: str | Path) -> list[dict[str, float]]:
    """Reads a CSV file of numbers.

    Raises:
        UserError: It is damaged.
    """
    try:
        with Path(path).open(newline="") as file:
            rows = csv.DictReader(file, strict=True)
            return [{key: float(value) for key, value in row.items()} for row in rows]
    except (ValueError, TypeError, csv.Error) as error:
        raise _damaged(path, error) from error


def checksum(path: str | Path, algorithm: str = "sha256") -> str:
    """Computes a file's checksum, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()

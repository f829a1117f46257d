"""Reads anybody's tar archive, packed or not, within limits of size and time."""

import contextlib
import gzip
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from shears.runtime.errors import UserError

UNPACKED = 256 << 20  #: bytes; the archives have 184 and 186 million
MOST_PAST_END = 8  # reads; a whole archive needs two
#: Extended headers, and bytes of each; CIFAR-10's archives need none.
MOST_HEADERS, MOST_HEADER = 100, 4 << 10
_EXTENDED = {
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
}


class _Limited:
    """The unpacked bytes of an archive, up to `UNPACKED` of them."""

    def __init__(self, file: gzip.GzipFile | BinaryIO, path: Path):
        self.file, self.path, self.left = file, path, UNPACKED
        self.reads_past_end = 0

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        if size and not data:
            # To skip a member, tarfile reads as often as its header says: a header of
            # 10^20 bytes would keep it at the end for years.
            self.reads_past_end += 1
            if self.reads_past_end > MOST_PAST_END:
                raise EOFError("a member is longer than the archive")
        self.left -= len(data)
        if self.left < 0:
            raise UserError(
                f"{self.path}: unpacks to more than {UNPACKED:,} bytes, expected "
                "about 184,000,000: this is not CIFAR-10"
            )
        return data


class StrangeHeader(Exception):
    """A header that no archive of images has; its text says what it is."""


class _Header(tarfile.TarInfo):
    """A member's header, unless reading it may take tarfile hours or much memory.

    tarfile has no public names for what reads extended headers and sparse maps. The
    tests tell if another version of Python has other ones.
    """

    def _proc_member(self, archive: "_Archive") -> tarfile.TarInfo:
        """Reads what follows a header's first block."""
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise StrangeHeader("a sparse member")
        if self.type in _EXTENDED:
            archive.extended += 1
            if archive.extended > MOST_HEADERS:
                raise StrangeHeader(f"more than {MOST_HEADERS} extended headers")
            if self.size > MOST_HEADER:
                raise StrangeHeader(f"an extended header of {self.size:,} bytes")
        return super()._proc_member(archive)  # type: ignore[misc]

    def _refuse(self, *_: object) -> None:
        raise StrangeHeader("a sparse member")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse


class _Archive(tarfile.TarFile):
    """An archive that counts its extended headers."""

    tarinfo = _Header
    extended = 0


def is_gzip(path: Path) -> bool:
    """Returns whether a file begins like a gzip file."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def is_archive(path: str | Path) -> bool:
    """Returns whether a file begins like an archive, packed or not."""
    return is_gzip(Path(path)) or is_tar(Path(path))


def is_tar(path: Path) -> bool:
    """Returns whether a file begins with the header of a tar's member."""
    with path.open("rb") as file, contextlib.suppress(tarfile.HeaderError):
        tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "replace")
        return True
    return False


@contextlib.contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Opens an archive to read its members as they come; nothing is written to disk.

    After the last member, the rest is read up to gzip's checksum.

    Raises:
        UserError: It unpacks to more than `UNPACKED`.
        StrangeHeader: A header would take long to read.
        Exception: Nearly any, of tarfile at a bad header.
    """
    # Browsers unpack gzip themselves.
    with path.open("rb") if is_tar(path) else gzip.open(path) as file:
        content = _Limited(file, path)
        # A stream is only read, but typeshed asks for all methods of a file.
        with _Archive.open(  # type: ignore[call-overload]
            fileobj=content, mode="r|", bufsize=1 << 20
        ) as archive:
            yield archive
        while content.read(1 << 20):  # the padding, up to the checksum
            pass

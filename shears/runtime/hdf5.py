"""HDF5 files, opened for reading on any file system."""

import errno
import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from shears.runtime.files import NO_LOCKS, open_regular

MAGIC = b"\x89HDF\r\n\x1a\n"  #: how an HDF5 file begins
WRITTEN = "another program has it open for writing"
# What HDF5 says of a mark in the file that its last writer did not take away.
MARKED = "already open for write"


def is_hdf5(path: str | Path) -> bool:
    """Returns whether a file, or a folder, begins like an HDF5 file.

    Raises:
        OSError: It cannot be read.
    """
    if Path(path).is_dir():
        return False
    with Path(path).open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class _WholeReads(io.RawIOBase):
    """A file whose reads are whole or fail.

    h5py does not look at how many bytes it got, and the rest would be whatever lay in
    memory.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.failure: OSError | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._file.read(len(buffer))
        except OSError as error:
            self.failure = error
            raise
        if len(content) != len(buffer):
            raise EOFError(f"found {len(content):,} of {len(buffer):,} bytes")
        buffer[:] = content
        return len(content)


def _lock(file: BinaryIO) -> None:
    """Takes the lock that HDF5 would take, where there are locks.

    Raises:
        BlockingIOError: Another program has the file open for writing.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(error.errno, WRITTEN) from None
    except io.UnsupportedOperation:  # in memory
        pass
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


@contextmanager
def open_hdf5(source: str | Path | BinaryIO) -> Iterator[h5py.File]:
    """Opens an HDF5 file for reading, and tells what is wrong from what failed.

    HDF5's own lock is off, because without it HDF5 reads nothing on a file system that
    has no locks (NFS, Lustre). It is replaced by the same lock where there are locks,
    so that a file is not read while another program writes it.

    Args:
        source: A file's path, or an open binary file.

    Raises:
        OSError: The file cannot be opened or read, or another program has it open for
            writing (BlockingIOError). This says nothing about its contents. The error
            has a number, a text and the file's name.
        UserError: It is a folder, a FIFO or a device.
        ValueError: The contents are not HDF5's, by what HDF5 says of them.
    """
    whole: _WholeReads | None = None
    name = str(source) if isinstance(source, str | Path) else "an open file"
    try:
        if not isinstance(source, str | Path):
            _lock(source)
            whole = _WholeReads(source)
            with h5py.File(whole, "r") as file:
                yield file
            return
        with open_regular(source) as lock:
            _lock(lock)
            with h5py.File(source, "r", locking=False) as file:
                yield file
    except EOFError as short:
        raise ValueError(str(short)) from short
    except OSError as caught:  # h5py's has a number only if the system's call failed
        error = (whole and whole.failure) or caught
        if MARKED in str(error):
            text = f"{WRITTEN}, or ended while writing it"
            raise BlockingIOError(errno.EAGAIN, text, name) from error
        if error.errno is None:
            raise ValueError(str(error)) from error
        if isinstance(error, BlockingIOError):
            text = error.strerror or WRITTEN
        else:
            text = os.strerror(error.errno)
        raise OSError(error.errno, text, name) from error

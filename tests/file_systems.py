"""File systems that the tests' own is not: without locks, or read-only."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# As on NFS and Lustre without a lock daemon.
FLOCK = """
#include <errno.h>
int flock(int file, int operation) { errno = ENOLCK; return -1; }
"""


def without_locks(folder: Path) -> dict[str, str]:
    """The environment of a process that finds no locks on any file system.

    The library that does this is compiled into the folder; the test is skipped where
    there is no compiler, or no way to load it.
    """
    compiler = shutil.which("cc")
    if not compiler or os.uname().sysname != "Linux":
        pytest.skip("needs a C compiler on Linux")
    source, library = folder / "no_locks.c", folder / "no_locks.so"
    source.write_text(FLOCK, encoding="utf-8")
    command = [compiler, "-shared", "-fPIC", "-o", library, source]
    subprocess.run(command, check=True)
    return {**os.environ, "LD_PRELOAD": str(library)}


def without_write_permission(command: list[str]) -> list[str]:
    """A command as it must be run to respect that a folder is read-only.

    Root may write everywhere, so this privilege is taken from it; the test is skipped
    where that cannot be done.
    """
    if os.geteuid():
        return command
    setpriv = shutil.which("setpriv")
    if not setpriv:
        pytest.skip("needs setpriv, or another user than root")
    return [setpriv, "--bounding-set", "-dac_override,-dac_read_search", *command]


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Takes the permission to write from a folder and all that is in it."""
    entries = [folder, *folder.rglob("*")]
    before = {path: path.stat().st_mode for path in entries if not path.is_symlink()}
    for path, mode in before.items():
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in before.items():
            path.chmod(mode)

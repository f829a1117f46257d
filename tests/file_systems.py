"""File systems that the tests' own is not: one without locks."""

import os
import shutil
import subprocess
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

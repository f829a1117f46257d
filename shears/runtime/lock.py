"""One run at a time in a folder, and no job that outlives its run.

A run holds a lock file (flock) for as long as its process lives. The kernel releases
the lock when the process ends, however it dies, so a stale lock never has to be removed
by hand; and a job that asks for the lock learns that its run is gone.

Snakemake plans first and only then reports that it starts (``onstart``). So a run looks
at the lock before it plans, and gives up if another run has used the folder since: its
plan may be out of date.
"""

import contextlib
import fcntl
import os
import platform
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple, TextIO

from shears.runtime.errors import UserError
from shears.runtime.files import NO_LOCKS, no_link

VARIABLE = "SHEARS_RUN"  # names a run to its jobs
PATIENCE = 5  # seconds; a process that only looks, or a dying job, holds it for less
_held: list[TextIO] = []  # kept open until the process ends
_without_locks: list[Path] = []  # folders that this run could not lock


class LockState(NamedTuple):
    """What a lock looked like.

    Attributes:
        run: The last run that has held it; empty if there was none.
        held: Whether that run is alive.
    """

    run: str = ""
    held: bool = False


def look_at_lock(folder: str | Path) -> LockState:
    """Finds out which run uses a folder, or used it last; changes nothing."""
    try:
        path = Path(folder) / ".shears.lock"
        with open(path, encoding="utf-8", errors="replace", opener=no_link) as file:
            return LockState(file.read(), not _acquire(file, fcntl.LOCK_SH))
    except OSError:  # no lock file, or a file system without locks
        return LockState()


def hold_lock(folder: str | Path, before: LockState) -> None:
    """Locks a folder for the rest of this process' life.

    On a file system without locks, the run continues without one and says so.

    Args:
        folder: Where the run writes; created if it is missing. Holds
            ``.shears.lock``.
        before: What `look_at_lock` returned before this run was planned.

    Raises:
        UserError: Another run holds the lock or has held it since, or the file cannot
            be written.
    """
    path = Path(folder).absolute() / ".shears.lock"
    run = f"process {os.getpid()} on {platform.node()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+", encoding="utf-8", errors="replace", opener=no_link)
        acquired = _acquire_patiently(file)
        file.seek(0)
        last = file.read()
        if not acquired:
            raise UserError(
                f"{path.parent}: another run is using this folder ({last}): wait for "
                "it, stop it, or run in another clone"
            )
        if before.held or last != before.run:
            raise UserError(
                f"{path.parent}: another run ({last}) was using this folder while this "
                "one was planned: run again"
            )
        file.truncate(0)
        file.write(run)
        file.flush()
    except OSError as error:
        if error.errno in NO_LOCKS:
            if not _without_locks:  # say it once, however many folders a run has
                print(
                    f"{path.parent}: its file system has no locks, so nothing keeps a "
                    "second run out: start only one at a time",
                    file=sys.stderr,
                )
            _without_locks.append(path.parent)
            return
        raise UserError(
            f"{path}: {error.strerror}; the run needs to write it"
        ) from None
    if not _held:  # the first folder names the run
        os.environ[VARIABLE] = f"{path}|{run}"
    _held.append(file)


def _acquire(file: TextIO, kind: int) -> bool:
    """Tries to get the lock: exclusive for a run, shared for a job."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        return True
    return False


def _acquire_patiently(file: TextIO) -> bool:
    """Gets the lock for a run; returns False at once if another run has it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if _acquire(file, fcntl.LOCK_EX):
            return True
        if not _acquire(file, fcntl.LOCK_SH):
            return False
        fcntl.flock(file, fcntl.LOCK_UN)  # else two that try would block each other
        time.sleep(0.1)
    return False


def end_with_run() -> None:
    """Ends this process when the run that started it dies, even by SIGKILL.

    Otherwise training would continue unseen beside the run that repeats it. Does
    nothing if no run on this machine started the process: a cluster's job may outlive
    the run that submitted it.
    """
    path, _, run = os.environ.get(VARIABLE, "").rpartition("|")
    if not run.endswith(f" on {platform.node()}"):
        return

    def wait() -> None:
        try:
            file = Path(path).open(encoding="utf-8")
            # Poll rather than block: the next run may get the lock before a call that
            # waits for it, which would then wait for as long as that run lasts.
            while file.read() == run and not _acquire(file, fcntl.LOCK_SH):
                time.sleep(0.2)
                file.seek(0)
        except OSError:  # the lock file was removed, so there is no way to know
            return
        # No clean-up: files are written whole, and training has saved its state.
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

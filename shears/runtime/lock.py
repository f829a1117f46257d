"""One run at a time in a folder, and no stage that outlives its run.

A run holds a lock file (flock) for as long as its process lives. The kernel drops the
lock with the process, however it dies, so none is ever left to be removed by hand; and
a stage that asks for the lock learns that its run is gone.

Snakemake plans first and says only then that it starts (`onstart`). A run therefore
looks at the lock before it plans, and gives up when another one was at work since: its
plan may be out of date.
"""

import contextlib
import fcntl
import os
import platform
import threading
import time
from pathlib import Path
from typing import NamedTuple, TextIO

from shears.runtime.errors import UserError
from shears.runtime.files import NO_LOCKS

VARIABLE = "SHEARS_RUN"  # tells the stages of a run which one it is
PATIENCE = 5  # seconds; who looks at the lock or ends for it has it for a moment
_held: list[TextIO] = []  # kept open until the process ends


class Seen(NamedTuple):
    """What a lock looked like.

    Attributes:
        run: The last run that has held it; empty if there was none.
        held: Whether that run is alive.
    """

    run: str = ""
    held: bool = False


def look_at_lock(folder: str | Path) -> Seen:
    """Looks who works in a folder, or has worked in it last; changes nothing."""
    try:
        with (Path(folder) / ".shears.lock").open() as file:
            return Seen(file.read(), not _acquire(file, fcntl.LOCK_SH))
    except OSError:  # there is none, or there are no locks
        return Seen()


def hold_lock(folder: str | Path, seen: Seen) -> None:
    """Locks a folder for the rest of this process' life.

    Where the file system knows no locks, the run goes on without one.

    Args:
        folder: What a run writes to; made if it is missing. `.shears.lock` is in it.
        seen: What `look_at_lock` found before this run was planned.

    Raises:
        UserError: Another run holds it or has held it since, or the file cannot be
            written.
    """
    path = Path(folder).absolute() / ".shears.lock"
    run = f"process {os.getpid()} on {platform.node()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        found = _acquire_patiently(file)
        file.seek(0)
        last = file.read()
        if not found:
            raise UserError(
                f"{path.parent}: another run is at work in it ({last}): wait for it, "
                "stop it, or run in another clone"
            )
        if seen.held or last != seen.run:
            raise UserError(
                f"{path.parent}: another run ({last}) was at work in it while this "
                "one was planned: run again"
            )
        file.truncate(0)
        file.write(run)
        file.flush()
    except OSError as error:
        if error.errno in NO_LOCKS:
            return
        raise UserError(
            f"{path}: {error.strerror}; the run needs to write it"
        ) from None
    _held.append(file)
    os.environ[VARIABLE] = f"{path}|{run}"


def _acquire(file: TextIO, kind: int) -> bool:
    """Tries to get the lock, exclusive as a run's or shared as a stage's."""
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(file, kind | fcntl.LOCK_NB)
        return True
    return False


def _acquire_patiently(file: TextIO) -> bool:
    """Gets the lock for a run; False at once where another run has it."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if _acquire(file, fcntl.LOCK_EX):
            return True
        if not _acquire(file, fcntl.LOCK_SH):
            return False
        fcntl.flock(file, fcntl.LOCK_UN)  # or two that try would block each other
        time.sleep(0.1)
    return False


def end_with_run() -> None:
    """Ends this process when the run that started it dies, even by SIGKILL.

    Otherwise training would go on unseen beside the run that repeats it. Does nothing
    where no run on this machine started the process: a cluster's job may outlive the
    run that submitted it.
    """
    path, _, run = os.environ.get(VARIABLE, "").rpartition("|")
    if not run.endswith(f" on {platform.node()}"):
        return

    def wait() -> None:
        try:
            file = Path(path).open()
            # Asked again and again: the next run may be faster to get the lock than one
            # that waits for it, and then waiting would last as long as that run.
            while file.read() == run and not _acquire(file, fcntl.LOCK_SH):
                time.sleep(0.2)
                file.seek(0)
        except OSError:  # somebody has removed the file: then nothing can be told
            return
        # No clean-up: what is written is written whole, and the state is saved.
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

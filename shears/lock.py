"""One run at a time in a folder, and no stage that outlives its run.

A run holds a lock file (flock) for as long as its process lives. The kernel drops the
lock with the process, however it dies, so none is ever left to be removed by hand; and
a stage that waits for the lock learns at once that its run is gone.
"""

import contextlib
import fcntl
import os
import platform
import threading
import time
from pathlib import Path
from typing import TextIO

from shears.errors import UserError
from shears.files import NO_LOCKS

VARIABLE = "SHEARS_RUN"  # tells the stages of a run which one it is
PATIENCE = 5  # seconds; the stages of a run that was killed end within one
_held: list[TextIO] = []  # kept open until the process ends


def hold_lock(folder: str | Path) -> None:
    """Locks a folder for the rest of this process' life.

    Where the file system knows no locks, the run goes on without one.

    Args:
        folder: What a run writes to; made if it is missing. `.shears.lock` is in it.

    Raises:
        UserError: Another run holds it, or the file cannot be written.
    """
    path = Path(folder).absolute() / ".shears.lock"
    run = f"process {os.getpid()} on {platform.node()}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
        if not _acquire(file):
            file.seek(0)
            raise UserError(
                f"{path.parent}: another run is at work in it ({file.read()}): wait "
                "for it, stop it, or run in another clone"
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


def _acquire(file: TextIO) -> bool:
    """Tries for a while to get the lock."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
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
            if file.read() == run:  # else a later run has the lock: ours is dead
                fcntl.flock(file, fcntl.LOCK_SH)
        except OSError:  # somebody has removed the file: then nothing can be told
            return
        # No clean-up: what is written is written whole, and the state is saved.
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

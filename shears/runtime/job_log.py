"""What every job does around its work: a log, plain errors, an exit code."""

import contextlib
import errno
import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shears.runtime.errors import UserError, brief, ctrl_c_ends_at_once
from shears.runtime.files import no_link
from shears.runtime.lock import end_with_run

log = logging.getLogger(__name__)


def explain(error: Exception) -> str | None:
    """Explains in a line or two an error that the user can fix; None for others.

    Args:
        error: What a job raised: a UserError, an operating system's error (a full disk,
            a file that may not be read), or lack of memory, also on the GPU.
    """
    if isinstance(error, UserError):
        return str(error)
    text = brief(error)
    of_tensorflow = type(error).__module__.startswith("tensorflow")
    # First, because TensorFlow reports a full disk as an exhausted resource too.
    if of_tensorflow and "No space left on device" in text:
        return f"{text}: make room and run again"
    if isinstance(error, MemoryError) or (
        of_tensorflow
        and (
            type(error).__name__ == "ResourceExhaustedError"
            or "out of memory" in text.lower()
        )
    ):
        return (
            f"out of memory ({text}): close other programs or, if a network is being "
            "trained, lower the recipe's batch_size; then run again"
        )
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = ": make room and run again" if full else ""
        return f"{where}{error.strerror or error}{advice}"
    return None


class _LogFile(logging.FileHandler):
    """A log that is not written through a link."""

    def _open(self) -> Any:
        return open(
            self.baseFilename, self.mode, encoding=self.encoding, opener=no_link
        )


@contextlib.contextmanager
def log_job(name: str, log_file: str | Path) -> Iterator[None]:
    """Logs to the terminal and to a file, and turns errors into one plain line.

    Args:
        name: The job, shown before each line.
        log_file: Where the log goes; overwritten.

    Raises:
        SystemExit: With 1, after an error that `explain` knows; its traceback goes to
            the log file only. Any other exception passes through, as it is our bug; the
            log has its traceback, too.
    """
    end_with_run()
    path = Path(log_file)
    formatter = logging.Formatter(f"%(asctime)s {name}: %(message)s", "%H:%M:%S")
    to_terminal = logging.StreamHandler(sys.stderr)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        to_file = _LogFile(path, mode="w", encoding="utf-8")
    except OSError as error:
        sys.exit(f"{name}: error: {explain(error)}")
    handlers: list[logging.Handler] = [to_terminal, to_file]
    for handler in handlers:
        handler.setFormatter(formatter)
    # A full disk is reported once, below, not for every line of the log.
    logging.raiseExceptions = False
    root = logging.getLogger()
    root.handlers = handlers
    root.setLevel(logging.WARNING)
    logging.getLogger("shears").setLevel(logging.INFO)
    try:
        with ctrl_c_ends_at_once():
            yield
    except Exception as error:
        explanation = explain(error)
        if explanation is not None:
            log.error("error: %s", explanation)
        if not isinstance(error, UserError) and to_file.stream:
            with contextlib.suppress(OSError):
                to_file.stream.write(traceback.format_exc())
        if explanation is None:
            raise
        sys.exit(1)
    finally:
        root.handlers = []
        with contextlib.suppress(OSError):  # the disk may be full
            to_file.close()

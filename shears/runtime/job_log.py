"""What every stage does around its work: a log, plain errors, an exit code."""

import contextlib
import errno
import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from shears.runtime.errors import UserError, brief, ctrl_c_ends_at_once
from shears.runtime.lock import end_with_run

log = logging.getLogger(__name__)


def explain(error: Exception) -> str | None:
    """Says in a line or two what an error that a user can mend means, else None.

    Args:
        error: What a stage raised: a UserError, one of the operating system (a full
            disk, a file that may not be read), or want of memory, on the GPU too.
    """
    if isinstance(error, UserError):
        return str(error)
    text = brief(error)
    of_tensorflow = type(error).__module__.startswith("tensorflow")
    # Before memory: TensorFlow calls a full disk an exhausted resource, too.
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
            f"out of memory ({text}): end other programs or, where a network is "
            "trained, lower the recipe's batch_size; then run again"
        )
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = ": make room and run again" if full else ""
        return f"{where}{error.strerror or error}{advice}"
    return None


@contextlib.contextmanager
def stage(name: str, log_file: str | Path) -> Iterator[None]:
    """Logs to the terminal and to a file, and turns errors into one plain line.

    Args:
        name: The stage, shown before each line.
        log_file: Where the log goes; made anew.

    Raises:
        SystemExit: With 1, after an error that `explain` knows; its traceback is in the
            log file only. Any other exception passes through: it is a defect of ours.
    """
    end_with_run()
    path = Path(log_file)
    form = logging.Formatter(f"%(asctime)s {name}: %(message)s", "%H:%M:%S")
    to_terminal = logging.StreamHandler(sys.stderr)
    handlers = [to_terminal]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, mode="w"))
    except OSError as error:
        sys.exit(f"{name}: error: {explain(error)}")
    for handler in handlers:
        handler.setFormatter(form)
    logging.raiseExceptions = False  # a full disk is told once, below, not a line a log
    root = logging.getLogger()
    root.handlers = handlers
    root.setLevel(logging.WARNING)
    logging.getLogger("shears").setLevel(logging.INFO)
    try:
        with ctrl_c_ends_at_once():
            yield
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        log.error("error: %s", told)
        if not isinstance(error, UserError):
            with contextlib.suppress(OSError):
                handlers[1].stream.write(traceback.format_exc())
        sys.exit(1)
    finally:
        root.handlers = []
        with contextlib.suppress(OSError):  # what a full disk refused
            handlers[1].close()

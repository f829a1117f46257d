"""What every stage does around its work: a log, plain errors, an exit code."""

import contextlib
import errno
import logging
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from shears.errors import UserError

log = logging.getLogger(__name__)


@contextlib.contextmanager
def stage(name: str, log_file: str | Path) -> Iterator[None]:
    """Logs to the terminal and to a file, and turns errors into one plain line.

    Args:
        name: The stage, shown before each line.
        log_file: Where the log goes; made anew.

    Raises:
        SystemExit: With 1, after a UserError or an error of the operating system (a
            full disk, a file that may not be read); the latter's traceback is in the
            log file only. Any other exception passes through: it is a defect of ours.
    """
    path = Path(log_file)
    path.parent.mkdir(parents=True, exist_ok=True)
    form = logging.Formatter(f"%(asctime)s {name}: %(message)s", "%H:%M:%S")
    to_file = logging.FileHandler(path, mode="w")
    to_terminal = logging.StreamHandler(sys.stderr)
    for handler in (to_file, to_terminal):
        handler.setFormatter(form)
    logging.raiseExceptions = False  # a full disk is told once, below, not a line a log
    root = logging.getLogger()
    root.handlers = [to_file, to_terminal]
    root.setLevel(logging.WARNING)
    logging.getLogger("shears").setLevel(logging.INFO)
    try:
        yield
    except UserError as error:
        log.error("error: %s", error)
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = ": make room and run again" if full else ""
        log.error("error: %s%s%s", where, error.strerror or error, advice)
        with contextlib.suppress(OSError):
            to_file.stream.write(traceback.format_exc())
        sys.exit(1)
    finally:
        root.handlers = []
        with contextlib.suppress(OSError):  # what a full disk refused
            to_file.close()

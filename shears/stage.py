"""What every stage does around its work: a log, plain errors, an exit code."""

import logging
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shears.errors import UserError

log = logging.getLogger(__name__)


@contextmanager
def stage(name: str, log_file: str | Path) -> Iterator[None]:
    """Logs to the terminal and to a file, and turns errors into one plain line.

    Args:
        name: The stage, shown before each line.
        log_file: Where the log goes; made anew.

    Raises:
        SystemExit: With 1, after a UserError or an error of the operating system
            (a full disk, a file that may not be read); its traceback is in the log
            file only. Any other exception passes through: it is a defect of ours.
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
        log.error("error: %s%s", where, error.strerror or error)
        to_file.stream.write(traceback.format_exc())
        sys.exit(1)

"""How a program ends whose standard output or standard error cannot be written."""

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from typing import TextIO


@contextlib.contextmanager
def checked_output() -> Iterator[None]:
    """Ends the program as the shell expects if its standard output cannot be written.

    A reader that has closed the pipe, such as ``head``, ends it silently by SIGPIPE,
    which a shell shows as exit code 141. Any other failure, such as a full disk, is one
    line on standard error. Characters that the output's encoding lacks are written as
    escape sequences.

    Raises:
        SystemExit: With 1, after the line: the output cannot be written.
    """
    if sys.stdout is None:  # closed from the beginning
        complain("error: standard output: closed, expected a file, pipe or terminal")
        sys.exit(1)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            # When Python exits is too late: it would print a traceback.
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:  # a file's, not the output's
            raise
        _discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            # Python ignores SIGPIPE, so that writing raises an error instead.
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGPIPE)
        complain(f"error: standard output: {error.strerror}")
        sys.exit(1)
    finally:
        _flush_errors()


def complain(line: str) -> None:
    """Prints a line on standard error, or nothing: the exit code says enough."""
    if sys.stderr is not None:  # print would take standard output instead
        with contextlib.suppress(OSError):
            print(line, file=sys.stderr)


def _flush_errors() -> None:
    """Flushes standard error; what cannot be written must not change the exit code."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        _discard(sys.stderr)


def _discard(stream: TextIO) -> None:
    """Drops what a stream still holds, or Python would fail to write it at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

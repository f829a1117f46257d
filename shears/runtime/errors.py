"""The one error type that is meant for the person who runs the workflow."""

import os
import reprlib
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date


class UserError(Exception):
    """An error that the user can cause and fix.

    Its text is one or two lines: the file or key, what was found, what was expected and
    what to do. It is shown without a traceback, and the exit code is 1. A terminal
    cannot obey it, whatever it quotes.
    """

    def __str__(self) -> str:
        """Returns the text, printable."""
        return printable(super().__str__())


class RefusedFile(UserError):
    """A user's file is refused; the command line's exit code is 2."""


class MachineError(UserError):
    """A file could not be read, which is not its fault: a full disk, for example.

    Nobody refuses the file for it or takes points away.
    """


def printable(text: str) -> str:
    """Replaces characters that a terminal might obey by escape sequences.

    Line feeds are left.
    """
    return "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text)


def without_name(path: object, error: UserError) -> str:
    """Returns an error's text without the name of its file, which may be anything."""
    return str(error).removeprefix(f"{printable(str(path))}: ")


def brief(error: object, longest: int = 150, end: int = 0) -> str:
    """Makes a message from elsewhere, or one that quotes a file, one safe line.

    White space becomes single spaces, and unprintable characters, which a terminal
    might obey, become escape sequences. Of more than `longest` characters, those before
    the last `end` are left out.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    text = printable(text)
    if len(text) <= longest:
        return text
    return f"{text[: longest - 3 - end]}...{text[len(text) - end :]}"


def show_value(value: object) -> str:
    """Formats a value roughly as in YAML, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, date):
        return str(value)
    try:
        text = reprlib.repr(value)  # looks at a few items only, however large the value
    except ValueError:  # Python prints no whole number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def unknown_name(key: str, name: str, kind: str, known: Iterable[str]) -> UserError:
    """Makes the error for a name under `key` that is not among those of its kind."""
    names = brief(", ".join(sorted(known)), 400)
    return UserError(
        f"{key}: found {show_value(name)}, expected one of the {kind}: {names}"
    )


@contextmanager
def plain_errors() -> Iterator[None]:
    """Ends the program with an error's text alone, where no log is open yet.

    Handles UserError, an OSError that names a file, and Ctrl-C.
    """
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        if error.filename is None:  # a bug rather than the user's file
            raise
        sys.exit(f"error: {printable(str(error.filename))}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("Interrupted.")


@contextmanager
def ctrl_c_ends_at_once() -> Iterator[None]:
    """Lets Ctrl-C end the process without a page of traceback.

    Nothing is lost: files are written whole or not at all. Call it from the main
    thread only.
    """
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    except KeyboardInterrupt:  # of something that had a handler of its own
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)

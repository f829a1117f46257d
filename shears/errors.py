"""The one error that is meant for the person who runs the workflow."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something a user can cause and can mend.

    Its text is one or two lines: the file or key, what was found, what was expected and
    what to do. It is shown without a traceback, and the exit code is 1.
    """


def brief(error: object) -> str:
    """Puts another library's message into a line of at most 150 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 150 else f"{text[:147]}..."


@contextmanager
def plain_errors() -> Iterator[None]:
    """Ends the program with a UserError's text alone, where there is no log yet."""
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")

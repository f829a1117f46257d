"""The one rule for every path that a person gives."""

import os
import re
from pathlib import Path

from shears.runtime.errors import UserError, brief

_VARIABLE = re.compile(r"\$(?:(\w+)|\{([^{}]*)\})", re.ASCII)


def expand(text: str) -> str:
    """Expands ``~`` and ``~user`` at the start of a path, ``$NAME`` and ``${NAME}``.

    A file whose name has a ``$`` is found as it is, if no variable of that name is set.

    Args:
        text: The path as it was given; empty for none.

    Returns:
        The path. A relative one starts in the current folder.

    Raises:
        UserError: A variable is not set or empty, or the home folder is not known. The
            caller names the key or the option.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if not (found := os.environ.get(name or "")):
            state = "is not set" if found is None else "is empty"
            raise UserError(
                f"found {brief(text, 60)}, but the environment variable "
                f"{brief(name, 60)} {state}: set it, or give the whole path"
            )
        return found

    try:
        path = _VARIABLE.sub(value, text)
    except UserError:
        if not os.path.isfile(text):
            raise
        path = text
    if path.startswith("~"):
        home = os.path.expanduser(path)
        if home.startswith("~"):
            raise UserError(
                f"found {brief(text, 60)}, but the home folder of "
                f"{brief(Path(path).parts[0], 60)} is not known: give the whole path"
            )
        path = home
    return path


def expand_of(key: str, text: str) -> str:
    """Expands a path as `expand` does, and names the key or option in the error."""
    try:
        return expand(text)
    except UserError as error:
        raise UserError(f"{key}: {error}") from None


def tidy(path: str) -> Path:
    """Takes ``.``, ``..`` and double slashes out of a path.

    ``link/..`` is not the folder that the link is in, so such a path becomes the whole
    one that it leads to.
    """
    short = os.path.normpath(path)
    leads_to = os.path.realpath(path)
    return Path(short if os.path.realpath(short) == leads_to else leads_to)


def check_file(key: str, path: Path, kind: str) -> None:
    """Checks that a file that the configuration names is there.

    Args:
        key: The key that names it.
        path: The file.
        kind: What is expected, for the error.

    Raises:
        UserError: It is not; with the key, what was found and what was expected.
    """
    if os.path.isfile(path):
        return
    actual = "a folder" if os.path.isdir(path) else "no file"
    try:
        os.stat(path)
    except PermissionError as error:
        actual = error.strerror or "Permission denied"
    except (OSError, ValueError):
        pass
    raise UserError(
        f"{key}: found {actual} at {brief(path)}, expected {kind}; paths start where "
        "snakemake runs"
    )

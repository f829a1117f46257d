"""What a job's log tells: how far it is, and why it failed."""

import os
import re
from pathlib import Path
from typing import NamedTuple

TAIL = 20_000  # bytes from the end of a log that are read
_EPOCH = re.compile(
    r"epoch (?P<done>\d+)/(?P<total>\d+)"
    r"(?:  loss \S+(?:  validation accuracy (?P<accuracy>[\d.]+))?"
    r"  sparsity (?P<sparsity>[\d.]+)  (?P<speed>[\d,]+) images/s"
    r"  (?P<minutes>\d+):(?P<seconds>\d\d) left)?$"
)
_VIEW = re.compile(r"computed the logits of view (?P<done>\d+)/(?P<total>\d+)$")
_STAMP = re.compile(r"\d\d:\d\d:\d\d ")
_ERROR = re.compile(r"\d\d:\d\d:\d\d .*?: error: (.*)")


class Progress(NamedTuple):
    """How far a job is.

    Attributes:
        unit: What is counted: "epoch" or "view".
        done: How many are done.
        total: Of how many.
        facts: What else is known, ready to be shown: speed, accuracy, sparsity.
        left: Seconds until the end when the line was written; None if not known.
        written: When it was written, in seconds since 1970.
    """

    unit: str
    done: int
    total: int
    facts: tuple[str, ...] = ()
    left: float | None = None
    written: float = 0.0


def _tail(path: Path) -> list[str]:
    """Reads the last lines of a log; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def read_progress(path: Path, since: float) -> Progress | None:
    """Reads how far a job is.

    Args:
        path: Its log.
        since: When the job began, in seconds since 1970: an older log is not its own.

    Returns:
        None if its log does not say.
    """
    try:
        written = path.stat().st_mtime
    except OSError:
        return None
    if written < since - 1:  # clocks of file systems are coarse
        return None
    for line in reversed(_tail(path)):
        if found := _EPOCH.search(line):
            done, total = int(found["done"]), int(found["total"])
            if not found["speed"]:  # it is resuming
                return Progress("epoch", done, total)
            facts = (
                f"{found['speed']} images/s",
                # A refit has no validation images.
                *([f"accuracy {found['accuracy']}"] if found["accuracy"] else []),
                f"sparsity {found['sparsity']}",
            )
            left = 60.0 * int(found["minutes"]) + int(found["seconds"])
            return Progress("epoch", done, total, facts, left, written)
        if found := _VIEW.search(line):
            done, total = int(found["done"]), int(found["total"])
            left = (written - since) / done * (total - done)
            return Progress("view", done, total, (), left, written)
    return None


def read_cause(path: Path, since: float) -> str | None:
    """Reads why a job failed: the error that its log ends with.

    Args:
        path: Its log.
        since: When the job began, in seconds since 1970.

    Returns:
        The error's text, of one or two lines, or the last line of a traceback; None if
        the log has neither.
    """
    try:
        if path.stat().st_mtime < since - 1:
            return None
    except OSError:
        return None
    lines = _tail(path)
    for index in range(len(lines) - 1, -1, -1):
        if found := _ERROR.match(lines[index]):
            text = [found[1]]
            following = lines[index + 1 : index + 2]
            if following and not re.match(r"Traceback|\d\d:\d\d:\d\d ", following[0]):
                text.append(following[0])
            return "\n".join(text)
    if any(line.startswith("Traceback ") for line in lines):
        last = [line for line in lines if line and not line.startswith((" ", "\t"))]
        return last[-1]
    return None

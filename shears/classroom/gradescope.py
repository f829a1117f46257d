"""Reads ``submission_metadata.yml`` of Gradescope's export.

Only what a leaderboard needs is kept: who handed in what, and when. The keys are Ruby's
symbols, so they begin with a colon.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import yaml

from shears.runtime.errors import UserError, brief, show_value
from shears.runtime.files import open_regular

METADATA = "submission_metadata.yml"
MOST_BYTES = 64 << 20  #: an entry has some kB, mostly what tests printed
MOST_VALUES = 5_000_000  #: in the file
DEEPEST = 50  #: levels of mappings and lists; libyaml itself gets slow with thousands
MOST_LISTED = 1000  #: submitters, and earlier uploads, of an entry
AGAIN = "export the submissions again"
NULLS = {"", "~", "null", "Null", "NULL"}
TIME = re.compile(
    r"(\d{4}-\d\d?-\d\d?)(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?"
    r"[ \t]*(?:Z|UTC|([-+])(\d\d?):?(\d\d)?)?",
    re.ASCII,
)
# libyaml is ten times as fast as PyYAML itself.
_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Submitter:
    """A student of a submission; what is unknown is empty."""

    name: str = ""
    sid: str = ""
    email: str = ""

    @property
    def identity(self) -> str:
        """What stays the same for a student: e-mail address, number or name."""
        return self.email.lower() or self.sid or self.name


@dataclass(frozen=True)
class Entry:
    """What the metadata says of a folder.

    Attributes:
        folder: The folder's name, as it stands there.
        submitters: One, or several for a group.
        time: When it was handed in.
        history: Folder, if it is named, and time of each earlier upload.
        problem: What the entry lacks, in one line without names.
    """

    folder: str
    submitters: tuple[Submitter, ...] = ()
    time: datetime | None = None
    history: tuple[tuple[str | None, datetime | None], ...] = ()
    problem: str | None = None


class _Reader:
    """Reads a document's values one after another, within limits.

    Scalars stay text, so no value can have an unexpected type. An alias is the same
    object again: it takes no memory, however often it stands in the file.
    """

    def __init__(self, content: bytes) -> None:
        self._parser = _Parser(content)
        self._anchors: dict[str, Any] = {}
        self._left = MOST_VALUES

    def is_next(self, *kinds: type[yaml.Event]) -> bool:
        return bool(self._parser.check_event(*kinds))

    def take(self) -> Any:
        self._left -= 1
        event = self._parser.get_event()
        if self._left < 0:
            raise _problem(f"more than {MOST_VALUES:,} values", event)
        return event

    def value(self, level: int = 0) -> Any:
        event = self.take()
        if level > DEEPEST:
            raise _problem(f"more than {DEEPEST} levels of lists and mappings", event)
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _problem("an alias without its anchor", event)
            return self._anchors[event.anchor]
        made: Any
        if isinstance(event, yaml.ScalarEvent):
            is_null = event.implicit[0] and event.value in NULLS
            made = None if is_null else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            made = []
        else:
            made = {}
        if event.anchor is not None:
            self._anchors[event.anchor] = made
        if isinstance(made, list):
            while not self.is_next(yaml.SequenceEndEvent):
                made.append(self.value(level + 1))
            self.take()
        elif isinstance(made, dict):
            while not self.is_next(yaml.MappingEndEvent):
                key = self.value(level + 1)
                made[_key(key)] = self.value(level + 1)
            self.take()
        return made


def _problem(what: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark
    return yaml.MarkedYAMLError(problem=f"found {what}", problem_mark=mark)


def _key(key: object) -> str:
    """Returns a key without the colon of Ruby's symbols."""
    return key.removeprefix(":") if isinstance(key, str) else show_value(key)


def parse_time(text: object) -> datetime | None:
    """Parses a time as YAML writes it; None if it is none. Without a zone it is UTC."""
    match = TIME.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        return None
    date, hour, minute, second, fraction, sign, hours, minutes = match.groups()
    try:
        shift = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
        zone = timezone(-shift if sign == "-" else shift)
        year, month, day = map(int, date.split("-"))
        return datetime(
            year,
            month,
            day,
            int(hour),
            int(minute),
            int(second),
            int(f"{fraction or '0'}000000"[:6]),
            zone,
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(value: object) -> str:
    return brief(value, 100) if isinstance(value, str) and value.strip() else ""


def _submitter(value: object) -> Submitter:
    get = value.get if isinstance(value, Mapping) else lambda key: None
    return Submitter(*(_text(get(key)) for key in ("name", "sid", "email")))


def _entry(folder: str, value: object) -> Entry:
    """Reads an entry; one that says nothing usable has a problem."""
    if not isinstance(value, Mapping):
        return Entry(folder, problem=f"its entry in {METADATA} is no mapping of keys")
    time, history = parse_time(value.get("created_at")), value.get("history")
    past: list[tuple[str | None, datetime | None]] = []
    for item in history[:MOST_LISTED] if isinstance(history, list) else ():
        if isinstance(item, Mapping):
            number = _text(item.get("id"))
            name = f"submission_{number}" if number else None
            past.append((name, parse_time(item.get("created_at"))))
    listed = value.get("submitters")
    submitters = [
        _submitter(item)
        for item in (listed[:MOST_LISTED] if isinstance(listed, list) else ())
    ]
    known = tuple(one for one in submitters if one.identity)
    problem = None if known else f"{METADATA} does not say whose it is"
    return Entry(folder, known, time, tuple(past), problem)


def read_metadata(path: Path) -> list[Entry]:
    """Reads the metadata of an export, in the file's order.

    Raises:
        UserError: It cannot be read, is too large, or is no YAML with an entry for each
            folder.
    """
    try:
        if path.is_symlink():
            raise UserError(f"{path}: found a link, expected Gradescope's file")
        with open_regular(path, "Gradescope's metadata") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise UserError(
                    f"{path}: found {size:,} bytes, expected at most {MOST_BYTES:,}: "
                    f"{AGAIN}"
                )
            content = file.read()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a YAML file") from None
    entries: dict[str, Entry] = {}
    try:
        reader = _Reader(content)
        while reader.is_next(yaml.StreamStartEvent, yaml.DocumentStartEvent):
            reader.take()
        if not reader.is_next(yaml.MappingStartEvent):
            raise UserError(
                f"{path}: found no mapping, expected an entry for each folder: {AGAIN}"
            )
        reader.take()
        while not reader.is_next(yaml.MappingEndEvent):
            folder = _key(reader.value())
            entry = _entry(folder, reader.value())
            if folder in entries:
                entry = Entry(folder, problem=f"it has two entries in {METADATA}")
            entries[folder] = entry
        reader.take()  # what follows may be cut off
        if not reader.is_next(yaml.DocumentEndEvent):
            raise UserError(f"{path}: found no end of the mapping: {AGAIN}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise UserError(
            f"{path}: line {line}: {brief(error.problem)}: {AGAIN}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"{path}: not a text file in UTF-8: {AGAIN}") from None
    return list(entries.values())

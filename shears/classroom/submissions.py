"""Finds each student's weights files in what a teacher has.

That is a folder with a folder or a file per student, also with the names that Moodle
and Canvas give them, or Gradescope's export. Nothing outside the folder is read: no
link is followed.

Where a folder has several weights files, the dates of the files do not decide: copying
and unpacking set them. So only an export that states times has several uploads of a
student.
"""

import hashlib
import os
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import NamedTuple

from shears.classroom.gradescope import METADATA, Entry, read_metadata
from shears.classroom.submitted_file import is_folder, visible
from shears.classroom.uploads import KINDS, Upload, is_weights, look
from shears.runtime.errors import UserError, brief

#: Files that teachers keep beside those of the students.
TEACHERS = {".csv", ".html", ".json", ".md", ".pdf", ".txt", ".xlsx", ".yaml", ".yml"}
# A folder's name ends after the kind of submission, in older versions with a "_".
MOODLE = re.compile(
    r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_[a-z]+(?:_(?P<file>.*))?"
)
CANVAS = re.compile(r"(?P<name>[^_]+)(?:_LATE)?_(?P<id>\d{2,})_\d{2,}_(?P<file>.+)")
# An anonymous assignment's; the last number is that of the upload.
ANONYMOUS = re.compile(
    r"(?:LATE_)?(?P<name>anon_(?P<id>[A-Za-z0-9]+))(?:_LATE)?_\d{2,}_(?P<file>.+)"
)
NOT_EXPORTED = "its file is not in the export"
EARLIEST = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Student:
    """A student, or a group that hands in together.

    Attributes:
        identity: What stays the same from run to run: an e-mail address, a number or
            the name.
        name: To be shown; no two students have the same.
        uploads: At least one, oldest first; the last one counts.
        problem: Why none of them counts.
    """

    identity: str
    name: str
    uploads: tuple[Upload, ...]
    problem: str | None = None


class Found(NamedTuple):
    """The students by name, and lines about what is missing or passed over."""

    students: list[Student]
    notes: list[str]


def _tidy(name: str) -> str:
    """Makes a name printable, and the same on every system."""
    return brief(unicodedata.normalize("NFC", name), 100)


def _plain_class(root: Path, entries: Sequence[os.DirEntry[str]]) -> Found:
    """Finds the students of a folder with a folder or a file for each."""
    names: dict[str, str] = {}
    places: dict[str, list[tuple[str, os.DirEntry[str]]]] = {}
    passed_over = []
    for entry in entries:
        folder = is_folder(entry)
        patterns = (MOODLE,) if folder else (MOODLE, ANONYMOUS, CANVAS)
        matches = (pattern.fullmatch(entry.name) for pattern in patterns)
        if match := next(filter(None, matches), None):
            name, given = _tidy(match["name"]), match["file"] or ""
            identity = f"{name} {match['id']}"
        elif folder or entry.is_symlink() or is_weights(entry.name):
            stem = entry.name if folder else PurePath(entry.name).stem
            identity = name = _tidy(stem.removesuffix(".weights"))
            given = entry.name
        elif PurePath(entry.name).suffix.lower() in TEACHERS:
            passed_over.append(_tidy(entry.name))
            continue
        else:  # a student's, of a wrong kind
            identity = name = _tidy(PurePath(entry.name).stem)
            given = entry.name
        names[identity] = name
        places.setdefault(identity, []).append((given, entry))
    notes = []
    if passed_over:
        notes.append(f"passed over: {brief(', '.join(passed_over), 300)}")
    return Found(
        [
            Student(identity, names[identity], (look(root, place, None),))
            for identity, place in places.items()
        ],
        notes,
    )


class _Export:
    """Gradescope's export: its folders, and what the metadata says of them."""

    def __init__(self, root: Path, entries: Sequence[os.DirEntry[str]]) -> None:
        self._root = root
        self._left = {entry.name: entry for entry in entries if entry.name != METADATA}
        self._names: dict[str, str] = {}
        self._uploads: dict[str, list[Upload]] = {}
        self.notes: list[str] = []

    def _take(self, folder: str, time: datetime | None) -> Upload:
        entry = self._left.pop(folder, None)
        if entry is None:
            problem = f"{METADATA} names a folder of it that is not there"
            return Upload(time, problem=problem)
        return look(self._root, [(folder, entry)], time)

    def _refuse(self, folder: str, reason: str, time: datetime | None = None) -> None:
        name = _tidy(folder)
        self._names[f"folder {folder}"] = name
        self._uploads[f"folder {folder}"] = [Upload(time, problem=reason)]
        self.notes.append(f"{name}: {reason}")

    def read(self, entries: Sequence[Entry]) -> list[Student]:
        known = []
        for entry in entries:
            if entry.problem:
                self._left.pop(entry.folder, None)
                self._refuse(entry.folder, entry.problem, entry.time)
                continue
            people = sorted(entry.submitters, key=lambda one: one.identity)
            identity = " & ".join(dict.fromkeys(one.identity for one in people))
            names = dict.fromkeys(one.name or one.identity for one in people)
            self._names[identity] = _tidy(", ".join(names))
            upload = self._take(entry.folder, entry.time)
            self._uploads.setdefault(identity, []).append(upload)
            known.append((identity, entry))
        past: dict[str, list[Upload]] = {}
        for identity, entry in known:
            times = {upload.time for upload in self._uploads[identity]}
            for folder, time in entry.history:
                if folder in self._left:
                    self._uploads[identity].append(self._take(folder, time))
                elif time not in times:
                    upload = Upload(time, problem=NOT_EXPORTED)
                    past.setdefault(identity, []).append(upload)
                times.add(time)
        for name, left in self._left.items():
            if is_folder(left) or left.is_symlink():
                self._refuse(name, f"{METADATA} has no entry for its folder")
        students = []
        for identity, uploads in self._uploads.items():
            ordered, problem = _in_order(uploads, past.get(identity, []))
            students.append(Student(identity, self._names[identity], ordered, problem))
        return students


def _in_order(
    uploads: Sequence[Upload], past: Sequence[Upload]
) -> tuple[tuple[Upload, ...], str | None]:
    """Orders a student's uploads; says what is wrong if the last one is not known."""
    times = [upload.time for upload in uploads]
    stated = sorted(time for time in times if time)
    problem = None
    if len(uploads) > 1 and len(stated) < len(uploads):
        problem = f"{METADATA} has no time for one of {len(uploads)} uploads"
    elif stated[1:] and stated[-1] == stated[-2]:
        problem = f"{METADATA} has two uploads of the same time"
    if problem:
        problem += ": which one counts is not known"

    def by_time(upload: Upload) -> datetime:
        return upload.time or EARLIEST

    *before, last = sorted(uploads, key=by_time)
    # An upload that is not in the export never counts, even if it is the latest.
    return (*sorted([*past, *before], key=by_time), last), problem


def _distinct(students: Sequence[Student]) -> list[Student]:
    """Tells students of the same name apart, and sorts by name."""
    counts = Counter(student.name for student in students)
    taken = {name for name, count in counts.items() if count == 1}
    result = []
    for student in sorted(students, key=lambda one: (one.name.casefold(), one.name)):
        name = student.name
        if counts[name] > 1:
            base = name = f"{student.name} ({_tidy(student.identity)})"
            number = 1
            while name in taken:
                number += 1
                name = f"{base} {number}"
            taken.add(name)
        result.append(replace(student, name=name))
    return result


def _open_class(
    folder: Path, leave_out: Path | None
) -> tuple[Path, list[os.DirEntry[str]], str | None]:
    """Lists the folder of a class, or the only folder in it that is one.

    Raises:
        UserError: There is nothing, or an archive.
    """
    try:
        if folder.is_file() and folder.suffix.lower() == ".zip":
            raise UserError(f"{folder}: found an archive: unzip it and give the folder")
        entries = visible(folder, leave_out)
        archives = [e for e in entries if e.name.lower().endswith(".zip")]
        if archives and len(archives) == len(entries):
            place = archives[0].name if len(archives) == 1 else "archives"
            raise UserError(
                f"{folder}: found only {brief(place)}: unzip it and give the folder"
            )
        if len(entries) == 1 and is_folder(entries[0]):
            inner = Path(entries[0].path)
            below = visible(inner, leave_out)
            folders = [entry for entry in below if is_folder(entry)]
            is_class = len(folders) > 1 and not any(is_weights(e.name) for e in below)
            if is_class or any(entry.name == METADATA for entry in below):
                note = f"{_tidy(inner.name)} is taken for the folder of the class"
                return inner, below, note
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; expected a folder") from None
    if not entries:
        raise UserError(
            f"{folder}: found nothing in it, expected a folder or file per student, or "
            "Gradescope's export"
        )
    return folder, entries, None


def find_students(folder: Path, leave_out: Path | None = None) -> Found:
    """Finds the students of a class and their weights files.

    Args:
        folder: A folder with a folder or a file per student, or Gradescope's export.
        leave_out: A folder that is no student's even if it is there: the results'.

    Raises:
        UserError: It is none of these, or nobody has a weights file.
    """
    root, entries, note = _open_class(folder, leave_out)
    notes = [note] if note else []
    if any(entry.name == METADATA for entry in entries):
        export = _Export(root, entries)
        students = export.read(read_metadata(root / METADATA))
        notes += export.notes
    else:
        students, passed_over = _plain_class(root, entries)
        notes += passed_over
    if not any(upload.path for one in students for upload in one.uploads):
        some = next((u.problem for one in students for u in one.uploads), None)
        reason = f"; of the first: {some}" if some else ""
        raise UserError(f"{folder}: found no weights file ({KINDS}) in it{reason}")
    return Found(_distinct(students), notes)


def listing(folder: Path, leave_out: Path | None = None) -> str:
    """Digests names, sizes and dates of all files: another digest, another class.

    Args:
        folder: The folder of a class.
        leave_out: As for `find_students`.

    Raises:
        UserError: The folder cannot be read.
    """
    digest = hashlib.sha256()
    folders = [folder]
    while folders:
        current = folders.pop()
        try:
            entries = visible(current, leave_out)
        except OSError as error:
            if current == folder:
                raise UserError(
                    f"{folder}: {error.strerror}; expected a folder"
                ) from None
            entries = []
        for entry in entries:
            if is_folder(entry):
                folders.append(Path(entry.path))
                continue
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:  # gone by now
                continue
            kind, path = stat.S_IFMT(about.st_mode), os.path.relpath(entry.path, folder)
            line = f"{kind} {about.st_size} {about.st_mtime_ns}\0".encode()
            digest.update(os.fsencode(path) + b"\0" + line)
    return digest.hexdigest()

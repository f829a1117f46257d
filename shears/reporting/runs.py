"""Reads the results of any run, finished or not."""

import ast
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from shears.reporting.candidates import Candidate, title
from shears.runtime.errors import UserError
from shears.runtime.files import open_regular, read_csv, read_json
from shears.runtime.job_record import JobRecord, record_path

PLACES = ("*/seed_*", "*/seed_*/round_*")  #: folders of candidates
_BASELINE = re.compile(r"(?:^|/)((?:refit/)?[^/]+/seed_\d+)/weights\.h5$")
_NAME = re.compile(r"[^/]+/seed_\d+(/round_\d+)?", re.ASCII)
SHOWN = 5  #: names in a sentence


class Run(NamedTuple):
    """What is there of a run.

    Attributes:
        name: What it is called beside others.
        results: Its folder of results.
        candidates: Those that are scored, baselines first.
        choice: The choice (`shears.evaluation.selection.choose`), if it is made.
        config: The configuration with defaults, if the report has been written.
        gaps: What is missing, as sentences.
    """

    name: str
    results: Path
    candidates: Sequence[Candidate]
    choice: dict[str, Any] | None
    config: dict[str, Any] | None
    gaps: Sequence[str]

    @property
    def chosen(self) -> Candidate | None:
        """The chosen candidate."""
        name = self.choice and self.choice["candidate"]
        return next((c for c in self.candidates if c.name == name), None)


def find_results(path: str | Path) -> Path:
    """Finds the results of a run.

    Args:
        path: The folder, or the one that has it as ``results`` (the configuration's
            ``directory``).

    Raises:
        UserError: There is none.
    """
    path = Path(path)
    # Path's methods raise for a name that is too long, and for a closed folder.
    if not os.path.isdir(path):
        actual = "a file" if os.path.exists(path) else "no such folder"
        raise UserError(f"{path}: found {actual}, expected the results of a run")
    for folder in (path / "results", path):
        if os.path.isfile(folder / "report.html") or any(
            found for place in (*PLACES, "teacher") for found in folder.glob(place)
        ):
            return folder
    raise UserError(
        f"{path}: found no results of a run in it, expected the folder results/ of "
        "one, or the one that has it"
    )


def find_candidates(results: str | Path) -> list[str]:
    """Lists the candidates that are there or were begun, baselines first."""
    results = Path(results)
    names = {
        path.relative_to(results).as_posix()
        for place in PLACES
        for path in results.glob(place)
        if (path / "weights.h5").is_file() or record_path(path / "weights.h5").is_file()
    }

    def order(name: str) -> tuple[bool, str, int, int]:
        candidate = Candidate(name, {}, {}, {}, ())
        return bool(candidate.round), candidate.method, candidate.seed, candidate.round

    # Other folders, such as somebody's copy round_1_old, are not ours.
    return sorted((name for name in names if _NAME.fullmatch(name)), key=order)


def read_record(output: Path) -> JobRecord | None:
    """Reads the record of the job whose first output this is; None if there is none."""
    try:
        with open_regular(record_path(output)) as file:
            return JobRecord.model_validate_json(file.read())
    except (OSError, UserError, ValidationError):
        return None


def settings_of(record: JobRecord) -> dict[str, Any]:
    """Returns the settings that a job was given, such as its recipe."""
    for text in record.params:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            continue
        if isinstance(value, dict):
            return value
    return {}


def chain_of(results: Path, name: str) -> list[str]:
    """Lists the stages that lead to a candidate or its refit: baseline and rounds."""
    chain, _, number = name.partition("/round_")
    if not number:
        return [name]
    rounds = [f"{chain}/round_{n}" for n in range(1, int(number) + 1)]
    record = read_record(results / rounds[0] / "weights.h5")
    for path in record.inputs if record else ():
        # A round of another method, whose masks it takes, is an input, too.
        if found := _BASELINE.search(Path(path).as_posix()):
            return [found[1], *rounds]
    return rounds


def read_candidate(results: Path, name: str) -> Candidate | None:
    """Reads a candidate; None if it is not scored.

    Raises:
        UserError: A file is damaged.
    """
    folder = results / name
    try:
        return Candidate(
            name,
            read_json(folder / "score_validation.json"),
            read_json(folder / "score_test.json"),
            read_json(folder / "metrics.json"),
            read_csv(folder / "history.csv"),
            folder / "weights.h5",
            folder / "predictions_test.csv",
        )
    except FileNotFoundError:
        return None


def _read_if_there(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except FileNotFoundError:
        return None


def list_names(names: Sequence[str]) -> str:
    """Lists candidates for readers, shortened."""
    shown = "; ".join(map(title, names[:SHOWN]))
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def read_run(results: Path, name: str) -> Run:
    """Reads what is there of a run.

    Args:
        results: Its folder of results (`find_results`).
        name: What it is called.

    Raises:
        UserError: A file is damaged, or no candidate is scored.
    """
    names = find_candidates(results)
    found = {one: read_candidate(results, one) for one in names}
    candidates = [candidate for candidate in found.values() if candidate]
    if not candidates:
        raise UserError(
            f"{results}: found no scored candidate, expected at least one; while it "
            "trains, shears watch shows the run"
        )
    choice = _read_if_there(results / "choice.json")
    config = _read_if_there(results / "configuration.json")
    gaps = []
    if missing := [one for one, candidate in found.items() if not candidate]:
        gaps.append(f"Not scored yet: {list_names(missing)}.")
    if not choice:
        gaps.append("Nothing is chosen yet: the run is not finished.")
    if config is None:
        gaps.append(
            "Its settings are unknown: they are kept with the report, by this version "
            "of Shears."
        )
    return Run(name, results, candidates, choice, config, gaps)


def name_runs(folders: Sequence[Path]) -> list[str]:
    """Names runs by as few of their last folders as tell them apart."""
    paths = [
        path.parent if path.name == "results" else path
        for path in (folder.absolute() for folder in folders)
    ]
    for length in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-length:]) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path} ({i})" for i, path in enumerate(map(str, paths), 1)]

"""The page of a run while it trains, from what its jobs have written so far.

It only reads. Files are replaced whole, so a reader needs no lock and holds nobody up.
"""

import hashlib
import importlib.resources
import json
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shears.model.parameters import Parameters
from shears.reporting import charts
from shears.reporting.candidates import (
    Candidate,
    draw_frontier,
    history_rows,
    score_rows,
    title,
)
from shears.reporting.network_picture import describe_network
from shears.reporting.page import render_page, render_part
from shears.reporting.runs import (
    chain_of,
    find_candidates,
    read_candidate,
    read_record,
    settings_of,
)
from shears.runtime.errors import UserError
from shears.runtime.files import open_regular, read_csv
from shears.runtime.job_record import record_path
from shears.weight_files.canonical import read_weights

SHOWN = 3  #: chains with curves; more would be slow to draw
#: What the page depends on.
FILES = (
    ("checkpoints", "**/*.npz"),
    ("results", "**/.*.job.json"),
    ("results", "**/weights.h5"),
    ("results", "**/score_test.json"),
    ("results", "*.json"),
    ("results", "report.html"),
)


class Stage(NamedTuple):
    """A network that is being trained, or has been.

    Attributes:
        name: A teacher's ("teacher/seed_0") or a candidate's.
        done: Whether its weights are there.
        history: A row per completed epoch.
        epochs: How many it will have; 0 if that is not known.
        changed: When it last wrote something, in seconds since 1970; 0 if never.
    """

    name: str
    done: bool
    history: Sequence[dict[str, float]]
    epochs: int
    changed: float

    @property
    def candidate(self) -> Candidate:
        """This stage as a candidate without scores; a refit as the one it repeats."""
        return Candidate(self.name.removeprefix("refit/"), {}, {}, {}, self.history)

    @property
    def text(self) -> str:
        """How far it is, for readers."""
        if self.done:
            return f"done, {len(self.history)} epochs" if self.history else "done"
        last = len(self.history)
        text = f"epoch {last} of {self.epochs}" if self.epochs else f"epoch {last}"
        if not last:
            return "in its first epoch, or interrupted in it"
        row = self.history[-1]
        if left := max(self.epochs - last, 0):
            minutes, seconds = divmod(round(row["seconds"] / last * left), 60)
            text += f", {minutes}:{seconds:02d} left"
        return text


def read_checkpoint(path: Path) -> list[dict[str, float]]:
    """Reads the history in a checkpoint, a row per epoch, and no array of it.

    Returns:
        No rows if it is missing, not whole or not a checkpoint.
    """
    try:
        with open_regular(path) as opened, np.load(opened) as file:
            return json.loads(str(file["about"]))["history"]
    except MemoryError:
        raise
    except Exception:  # zipfile raises nearly anything on a damaged file
        return []


def _list_names(results: Path) -> tuple[list[str], list[str]]:
    """Lists the networks that were begun: teachers, and candidates or their refits."""
    begun = results.glob("teacher/seed_*")
    teachers = sorted(f"teacher/{path.name}" for path in begun if path.is_dir())
    return teachers, find_candidates(results)


def _read_stage(base: Path, name: str, file: str) -> Stage | None:
    """Reads a stage by its weights' file; None if it was never begun."""
    folder = base / "results" / name
    output = folder / file
    record = read_record(output)
    recipe = settings_of(record).get("recipe", {}) if record else {}
    epochs = int(recipe.get("epochs", 0))
    if output.is_file():
        try:
            history = read_csv(folder / "history.csv")
        except FileNotFoundError:
            history = []
        return Stage(name, True, history, epochs, output.stat().st_mtime)
    checkpoint = base / "checkpoints" / f"{name}.npz"
    if not record and not checkpoint.is_file():
        return None
    written = (checkpoint, record_path(output))
    times = (path.stat().st_mtime for path in written if path.is_file())
    changed = max(times, default=0.0)  # it may have just been finished or removed
    return Stage(name, False, read_checkpoint(checkpoint), epochs, changed)


def read_stages(base: Path) -> list[Stage]:
    """Lists the networks of a run that were begun, the teachers first, refits last."""
    found = []
    for prefix in ("", "refit/"):
        teachers, candidates = _list_names(base / "results" / prefix)
        found += [_read_stage(base, prefix + name, "teacher.npz") for name in teachers]
        found += [_read_stage(base, prefix + name, "weights.h5") for name in candidates]
    return [stage for stage in found if stage]


def signature(base: Path) -> tuple[tuple[str, int], ...]:
    """Lists the files that the page depends on, with their dates."""

    def dates() -> Iterator[tuple[str, int]]:
        for folder, pattern in FILES:
            for path in sorted((base / folder).glob(pattern)):
                try:
                    yield str(path), path.stat().st_mtime_ns
                except OSError:  # just replaced
                    continue

    return tuple(dates())


def is_finished(base: Path) -> bool:
    """Whether the report is there, and nothing was trained or begun since.

    A stage that was interrupted before, and is not in the report, does not count.

    Raises:
        UserError: A file of the run is damaged.
    """
    try:
        written = (base / "results/report.html").stat().st_mtime
    except OSError:
        return False
    newer = (
        path
        for path in (base / "checkpoints").glob("**/*.npz")
        if path.stat().st_mtime > written
    )
    return not any(newer) and all(
        stage.done or stage.changed <= written for stage in read_stages(base)
    )


@lru_cache(maxsize=32)
def _read_weights(path: Path, changed: int) -> Parameters:
    """Reads weights once; `changed` is the file's date."""
    return read_weights(path)


def _draw_network(results: Path, chain: Sequence[str]) -> dict[str, Any] | None:
    """Draws the stages of a chain that are done; None before the first is."""
    names, networks = [], []
    for name in chain:
        path = results / name / "weights.h5"
        if not path.is_file():
            break
        names.append(Candidate(name.removeprefix("refit/"), {}, {}, {}, ()).stage)
        networks.append(_read_weights(path, path.stat().st_mtime_ns))
    return describe_network(names, networks) if names else None


def describe_run(base: Path) -> dict[str, Any]:
    """Collects what the page shows: stages, charts and the network's picture.

    Raises:
        UserError: A file of the run is damaged.
    """
    results = base / "results"
    stages = read_stages(base)
    known = {stage.name: stage for stage in stages}
    running = [stage for stage in stages if not stage.done]
    latest = sorted(running or stages, key=lambda stage: -stage.changed)
    chains: dict[str, list[str]] = {}
    for stage in latest:
        chain = chain_of(results, stage.name)
        chains.setdefault(chain[-1].partition("/round_")[0], chain)
        if len(chains) == (SHOWN if running else 1):
            break
    panels: list[charts.Chart] = []
    for i, (name, chain) in enumerate(chains.items()):
        own = [known[one].candidate for one in chain if one in known]
        rows, cuts = history_rows(own)
        if rows:
            drawn = charts.draw_histories(rows, cuts)
            text = "A line marks where each stage begins; grey marks the epochs in "
            text += "which sparsity rises."
            panels.append(
                drawn._replace(
                    name=f"curves_{i}",
                    title=f"Learning curves: {title(name)}",
                    text=text,
                )
            )
    scored = [read_candidate(results, stage.name) for stage in stages if stage.done]
    candidates = [candidate for candidate in scored if candidate]
    if candidates:
        panels.insert(0, draw_frontier(score_rows(candidates, "")))
    first = next(iter(chains.values()), [])
    return {
        "stages": stages,
        "running": running,
        "network": _draw_network(results, first),
        "charts": {chart.name: chart for chart in panels},
        "specs": {chart.name: charts.page_specs(chart) for chart in panels},
    }


class Watched:
    """A run that is watched; what was rendered is kept until a file changes."""

    def __init__(self, base: Path):
        """Takes the run's folder: it has ``results`` and ``checkpoints``."""
        self.base = base
        self._lock = threading.Lock()
        self._seen: object = None
        self._state: dict[str, Any] = {}

    def state(self) -> dict[str, Any]:
        """Renders what is there.

        Returns:
            ``body`` (HTML), ``specs`` (of its charts), ``finished`` and ``version``,
            which changes with the others.
        """
        with self._lock:
            seen = signature(self.base)
            if seen != self._seen:
                self._state, self._seen = self._render(), seen
            return self._state

    def _render(self) -> dict[str, Any]:
        name = self.base.absolute().name
        try:
            about = describe_run(self.base)
            body = render_part("live_body.html.j2", problem="", name=name, **about)
            specs, finished = about["specs"], is_finished(self.base)
        except (UserError, OSError) as error:  # also a file that is just replaced
            problem = str(error)
            body = render_part("live_body.html.j2", problem=problem, name=name)
            specs, finished = {}, False
        state = {"body": body, "specs": specs, "finished": finished}
        version = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
        return {**state, "version": version}

    def page(self) -> bytes:
        """Returns the report if the run is finished, else the live page."""
        state = self.state()
        if state["finished"]:
            return (self.base / "results/report.html").read_bytes()
        template = importlib.resources.files(__package__) / "live.html.j2"
        return render_page(template.read_text(encoding="utf-8"), state=state)

"""Kills runs of the workflow at random moments and compares their results."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from tests.workflow.project import copy_project, snakemake

# What is killed, in turn, and what docs/reliability.md calls it.
VICTIMS = {
    "everything": "the whole process tree",
    "snakemake": "Snakemake alone",
    "job": "a job",
}
COMPARED = (
    "results/**/weights.h5",
    "results/**/score_*.json",
    "results/teacher/**/teacher.npz",
    "results/teacher/teacher_logits_*.h5",
    "results/choice.json",
)
# Changes to small.yaml that make training long enough to be killed often.
LONGER: dict[str, Any] = {
    "recipes": {"strong": {"epochs": 8}},
    "pruning": {
        "rounds": [{"sparsity": 0.8, "epochs": 4}, {"sparsity": 0.9, "epochs": 4}]
    },
}


def products(folder: Path) -> dict[str, bytes]:
    """Reads what must be the same, byte for byte, in every run."""
    paths = [path for pattern in COMPARED for path in folder.glob(pattern)]
    paths += [p for p in (folder / "results/submission").iterdir() if p.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def run_and_kill(folder: Path, after: float, victim: str, output: Path) -> str | None:
    """Starts a run and kills it.

    Args:
        folder: The project.
        after: Seconds before the kill.
        victim: "everything" that the run has started, "snakemake" alone, or the
            running "job", as a system short of memory does.
        output: The file that the run's output is appended to.

    Returns:
        What was killed: Snakemake if no job was running, None if the run had already
        ended.
    """
    with output.open("ab") as file:
        run = subprocess.Popen(
            [sys.executable, "-m", "snakemake", "--cores", "all"],
            cwd=folder,
            env={**os.environ, "VERBOSE": "1"},  # jobs' own lines
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            run.wait(after)
        except subprocess.TimeoutExpired:
            jobs = psutil.Process(run.pid).children(recursive=True)
            if victim == "job" and not jobs:
                victim = "snakemake"
            if victim == "everything":
                os.killpg(run.pid, signal.SIGKILL)
            elif victim == "snakemake":
                run.kill()
            else:
                for job in jobs:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        job.kill()
            run.wait()
            return victim
    if run.returncode:
        printed = output.read_text(encoding="utf-8")
        raise SystemExit(f"a run failed by itself; it printed:\n{printed}")
    return None


def repeated_epochs(output: str) -> int:
    """Counts the whole epochs that were trained more than once in a run."""
    epochs = re.findall(r"((?:train|prune)\w+(?: \w+)*): epoch (\d+)/", output)
    return sum(count - 1 for count in Counter(epochs).values())


def kill_runs(
    kills: int,
    seed: int,
    longest: float,
    expected: Mapping[str, bytes] | None = None,
    edit: Callable[[Path], None] = lambda folder: None,
    **changes: Any,
) -> Mapping[str, Any]:
    """Kills and resumes runs a number of times, and compares every finished run.

    Args:
        kills: How many kills; the run after the last one may finish.
        seed: Seed of the kills' moments; the victims take turns.
        longest: The longest time in seconds until a kill.
        expected: What an undisturbed run makes (`products`). If None, one is run first.
        edit: Edits the project of each killed run in a way that changes no result.
        **changes: To the small configuration.

    Returns:
        kills by victim, how often training resumed, finished runs, files that differ
        from the undisturbed run's, whole epochs repeated, temporary files and
        checkpoints left over.
    """
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    differ: list[str] = []
    left: list[str] = []
    resumed = finished = repeated = 0
    with tempfile.TemporaryDirectory() as name:
        if expected is None:
            whole = copy_project(Path(name, "undisturbed"), **changes)
            run = snakemake(whole)
            if run.returncode:
                raise SystemExit(run.stdout)
            expected = products(whole)
        while counts.total() < kills:
            finished += 1
            folder = copy_project(Path(name, f"killed_{finished}"), **changes)
            edit(folder)
            output = folder / "output.txt"
            while True:
                victim = list(VICTIMS)[counts.total() % len(VICTIMS)]
                after = rng.uniform(0.2, longest)
                if counts.total() == kills:
                    after = 3600
                killed = run_and_kill(folder, after, victim, output)
                if not killed:
                    break
                counts[killed] += 1
            produced = products(folder)
            differ += [
                f"run {finished}: {name}"
                for name in sorted(expected.keys() | produced.keys())
                if expected.get(name) != produced.get(name)
            ]
            printed = output.read_text(encoding="utf-8")
            repeated += repeated_epochs(printed)
            resumed += printed.count(": resuming after epoch ")
            left += [
                str(path.relative_to(folder))
                for pattern in ("**/.*.part", "checkpoints/*")
                for path in folder.glob(pattern)
            ]
    return {
        "kills": dict(counts),
        "resumed": resumed,
        "finished": finished,
        "differ": differ,
        "repeated": repeated,
        "left": left,
    }

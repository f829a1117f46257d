"""Fills the disk that the jobs of a run write to, and then makes room again."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.workflow.project import copy_project, snakemake

SIZE = 120 << 20  # bytes of the small disk
SPARE = 2 << 20  # bytes left free until the job begins
# By job: its target, and how Snakemake announces it.
JOBS = {
    "prepare_dataset": ("results/dataset.h5", "Preparing the images"),
    "train_teacher": ("results/teacher/seed_0/teacher.npz", "Training the teacher"),
    "save_teacher_logits": (
        "results/teacher/teacher_logits_1.h5",
        "Saving the teacher's logits",
    ),
    "train_baseline": ("results/dense/seed_0/weights.h5", "Training the baseline"),
    "prune_round 1": ("results/lamp/seed_0/round_1/weights.h5", "Pruning with lamp"),
    "prune_round 2": ("results/lamp/seed_0/round_2/weights.h5", "Pruning with lamp"),
    "run_pruning_notebook": (
        "results/pruning_notebook.ipynb",
        "Running Part B's notebook",
    ),
    "score_candidate": ("results/dense/seed_0/score_test.json", "Scoring dense/seed_0"),
    "choose_submission": ("results/choice.json", "Choosing the submission"),
    "package_submission": ("results/submission/manifest.json", "Packaging"),
    "measure_latency": ("results/latency.json", "Measuring the latency"),
    "benchmark_optimizer": (
        "results/optimizers/diabetes/adam.ours.json",
        "Measuring adam (ours)",
    ),
    "plot_optimizers": ("results/optimizers/table.json", "Plotting how"),
    "run_notebook": (
        "results/submission/assignment_notebook.ipynb",
        "Running Part A's notebook",
    ),
    "pack_submission": ("results/submission.zip", "Packing"),
    "score_report": ("results/report.html", "Writing the report"),
}


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """Mounts a tmpfs of `SIZE` bytes, which takes root.

    Raises:
        PermissionError: This process may not mount.
    """
    with tempfile.TemporaryDirectory() as name:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", name]
        result = subprocess.run(mount, capture_output=True, encoding="utf-8")
        if result.returncode:
            raise PermissionError(f"cannot mount a tmpfs: {result.stderr.strip()}")
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", name], check=True)


def _fill(disk: Path, spare: int) -> None:
    """Fills a disk until only `spare` bytes are free."""
    with (disk / "filler").open("ab", buffering=0) as file:
        with contextlib.suppress(OSError):  # full
            while (free := shutil.disk_usage(disk).free) > spare:
                file.write(bytes(min(1 << 20, free - spare)))


def _results(base: Path) -> set[str]:
    """Lists all files among the results, temporary ones and checksums included."""
    return {str(path) for path in base.glob("results/**/*") if path.is_file()}


def _run_on_full_disk(
    disk: Path, project: Path, base: Path, target: str, announcement: str
) -> tuple[str, list[str]]:
    """Runs a job whose disk is full from the moment the job begins.

    Returns:
        What the run printed, and the files that the job left among the results.
    """
    _fill(disk, SPARE)
    lines: list[str] = []
    before: set[str] = set()
    with subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "all", target],
        cwd=project,
        env={**os.environ, "VERBOSE": "1"},  # the announcement is Snakemake's
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as run:
        for line in run.stdout or ():
            lines.append(line)
            if announcement in line:
                before = _results(base)
                _fill(disk, 0)
    (disk / "filler").unlink()
    left = sorted(_results(base) - before)
    return "".join(lines) + f"exit code {run.returncode}\n", left


def full_disk_runs(
    *, whole: bool, jobs: Collection[str] = tuple(JOBS)
) -> Mapping[str, Mapping[str, Any]]:
    """Fills the disk of each job in turn, then makes room and runs the job again.

    Args:
        whole: Whether the whole project is on the full disk, with Snakemake's own
            records, or only the folder that `directory` names.
        jobs: Keys of `JOBS`, in their order.

    Returns:
        For each job: what it printed, whether it failed, whether it reported the cause,
        whether there was a traceback, the files it left among the results (a failed
        job leaves none, whole or partial), and whether the next run succeeded.

    Raises:
        PermissionError: No small disk can be mounted.
    """
    outcomes = {}
    with small_disk() as disk, tempfile.TemporaryDirectory() as other:
        changes = {"latency": {"runs": 1}}
        if whole:
            base = project = copy_project(disk / "project", **changes)
        else:
            base = disk / "out"
            project = copy_project(
                Path(other, "project"), directory=str(base), **changes
            )
        for job in jobs:
            target, announcement = JOBS[job]
            path = base / target
            goal = os.path.relpath(path, project) if whole else str(path)
            output, left = _run_on_full_disk(disk, project, base, goal, announcement)
            again = snakemake(project, goal)
            outcomes[job] = {
                "printed": output,
                "failed": "exit code 0" not in output,
                "reported": "No space left on device" in output,
                "traceback": "Traceback" in output,
                "left": left,
                "succeeded": again.returncode == 0 and path.exists(),
            }
    return outcomes

"""A copy of the project on small data, and ways to run it."""

import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from tests import ROOT

PROJECT = (
    "Snakefile config.yaml config envs notebooks profiles report rules schemas scripts "
    "shears snakemake_logger_plugin_shears"
)


# The smallest run: a dense network and a round, without a teacher and Part A.
TINY: dict[str, Any] = {
    "baselines": {"dense": {"teacher": "none"}},
    "pruning": {"teacher": "none", "rounds": [{"sparsity": 0.8, "epochs": 2}]},
    "selection": {"margin": 0},
    "optimizers": {"data_sets": []},
}


def make_environment() -> dict[str, str]:
    """The environment for a make of a test's own, whatever runs the tests."""
    own = {"MFLAGS", "GPU", "VERBOSE", "PYTHON"}
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MAKE") and name not in own
    }


def copy_project(folder: Path, **changes: Any) -> Path:
    """Copies what a run needs, with the small configuration as its config.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROJECT.split():
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy2(source, folder / name)
    config = small_configuration()
    update_config(config, changes)
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder


def small_configuration() -> dict[str, Any]:
    """Reads config.yaml, changed by small.yaml."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    small = yaml.safe_load(
        (ROOT / "tests/workflow/small.yaml").read_text(encoding="utf-8")
    )
    update_config(config, small)
    return config


# Imports take most of a dry run's CPU time, so they are done once. The project's own
# package is not among them: each project has another copy.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["snakemake.cli", "snakemake.report.html_reporter", "nbformat", "pydantic", "yte"]
)


def _plan(folder: Path, arguments: tuple[str, ...], output: Path) -> None:
    """Dry-runs Snakemake in this process; its output goes to a file."""
    from snakemake.cli import main

    with output.open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(folder)
    main(["--cores", "all", "-n", *arguments])


def snakemake(
    folder: Path, *arguments: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Runs Snakemake to its end; the result's `stdout` has all its output."""
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "all", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )


def start(folder: Path) -> "subprocess.Popen[str]":
    """Starts Snakemake; its output is to be read."""
    # A background job of a non-interactive shell ignores SIGINT: undo that.
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "all"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def wait_for(run: "subprocess.Popen[str]", text: str) -> str:
    """Reads a run's output up to a line with this text."""
    printed = ""
    for line in run.stdout:
        printed += line
        if text in line:
            return printed
    raise AssertionError(f"{text!r} never came:\n{printed}")


def jobs(folder: Path, *arguments: str) -> dict[str, int]:
    """Counts the jobs that a run would have, by rule."""
    with tempfile.TemporaryDirectory() as name:
        output = Path(name, "output")
        process = _FORKS.Process(target=_plan, args=(folder, arguments, output))
        process.start()
        process.join()
        text = output.read_text(encoding="utf-8")
    assert process.exitcode == 0, text
    if "Nothing to be done" in text:
        return {}
    table = text.split("Job stats:")[1].split("total")[0]
    counts = {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.M)}
    assert "all" in counts
    return counts


@contextmanager
def edited(path: Path, before: str, after: str) -> Iterator[None]:
    """Changes a file's text, and restores it afterwards."""
    text, times = path.read_text(encoding="utf-8"), path.stat()
    assert before in text
    path.write_text(text.replace(before, after, 1), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))

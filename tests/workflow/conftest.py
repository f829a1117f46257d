"""The finished small run that the workflow tests share."""

import pickle
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from filelock import FileLock

from tests.workflow.project import copy_project, snakemake, start, wait_for


def pytest_collection_modifyitems(config, items):
    """Begins with the run that many tests wait for, if others can go on beside it."""
    if hasattr(config, "workerinput"):  # one of several processes
        first = next((i for i in items if "shared_run" in i.fixturenames), None)
        if first:
            items.remove(first)
            items.insert(0, first)


class SharedRun(NamedTuple):
    """A whole run of the small workflow.

    Attributes:
        folder: Its project; not to be changed.
        printed: What it printed.
        process: The process ID of its Snakemake.
        second: A run in the same folder that was started meanwhile.
    """

    folder: Path
    printed: str
    process: int
    second: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """A project that has not run."""
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory, worker_id) -> SharedRun:
    """The run that all processes share: the first to need it makes it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "shared_run"
    record = folder.with_suffix(".pickle")
    with FileLock(folder.with_suffix(".lock")):
        if not record.exists():
            run = start(copy_project(folder, latency={"runs": 1}))
            printed = wait_for(run, "Execute ")
            second = snakemake(folder)
            printed += run.stdout.read()
            assert run.wait() == 0, printed[-3000:]
            made = SharedRun(folder, printed, run.pid, second)
            record.write_bytes(pickle.dumps(made))
    return pickle.loads(record.read_bytes())


@pytest.fixture(scope="session")
def finished(shared_run, tmp_path_factory) -> tuple[Path, str]:
    """This process' copy of the finished project, and what its run printed."""
    folder = tmp_path_factory.mktemp("finished") / "project"
    shutil.copytree(shared_run.folder, folder, symlinks=True)
    return folder, shared_run.printed

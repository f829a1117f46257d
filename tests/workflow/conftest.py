"""The finished small run that the workflow tests share."""

import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from tests.workflow.project import copy_project, snakemake


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    """A project that has not run."""
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def shared_run(tmp_path_factory, worker_id) -> tuple[Path, str]:
    """A project after a complete run, and what the run printed; not to be changed.

    Worker processes share it: the first to need it makes it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "shared_run"
    output = shared.with_suffix(".txt")
    with FileLock(shared.with_suffix(".lock")):
        if not output.exists():
            run = snakemake(copy_project(shared))
            assert run.returncode == 0, run.stdout[-3000:]
            output.write_text(run.stdout)
    return shared, output.read_text()


@pytest.fixture(scope="session")
def finished(shared_run, tmp_path_factory) -> tuple[Path, str]:
    """This process' copy of the finished project, and what its run printed."""
    shared, printed = shared_run
    folder = tmp_path_factory.mktemp("finished") / "project"
    return shutil.copytree(shared, folder, symlinks=True), printed

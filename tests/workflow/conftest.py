"""The finished small run that the workflow's tests share."""

from pathlib import Path

import pytest

from tests.workflow.project import copy_project, snakemake


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def finished(project) -> tuple[Path, str]:
    """A project after a whole run, and what the run printed."""
    run = snakemake(project)
    assert run.returncode == 0, run.stdout[-3000:]
    return project, run.stdout

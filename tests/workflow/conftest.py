"""The finished small run that the workflow tests share."""

from pathlib import Path

import pytest

from tests.workflow.project import copy_project, snakemake


@pytest.fixture(scope="session")
def project(tmp_path_factory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="session")
def finished(project) -> tuple[Path, str]:
    """A project after a complete run, and what the run printed."""
    run = snakemake(project)
    assert run.returncode == 0, run.stdout[-3000:]
    return project, run.stdout

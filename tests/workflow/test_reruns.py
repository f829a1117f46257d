"""Every edit of the table in docs/reliability.md, made in a finished project."""

import re
import shutil
from pathlib import Path

import pytest

from shears.config import BaselineSettings, Configuration
from shears.runtime.settings import Settings
from shears.training.recipe import Recipe
from tests import ROOT
from tests.workflow.project import PROJECT, copy_project, jobs, snakemake
from tests.workflow.reruns import EDITS, MODULES, SCRIPTS, table


@pytest.fixture(scope="module")
def copy(shared_run, tmp_path_factory) -> Path:
    """A copy of the finished project to edit."""
    folder = tmp_path_factory.mktemp("edits") / "project"
    return shutil.copytree(shared_run.folder, folder, symlinks=True)


def restore(project: Path, folder: Path) -> None:
    """Restores the sources and their dates."""
    for name in PROJECT.split():
        if (project / name).is_file():
            shutil.copy2(project / name, folder / name)
        else:
            shutil.copytree(project / name, folder / name, dirs_exist_ok=True)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.what)
def test_an_edit_reruns_what_depends_on_it_and_nothing_else(shared_run, copy, edit):
    try:
        edit.apply(copy)
        planned = jobs(copy)
    finally:
        restore(shared_run.folder, copy)
    planned.pop("all", None)
    assert planned == edit.jobs


def test_the_table_has_every_key_module_and_script():
    listed = [edit.what for edit in EDITS]

    def is_listed(key: str) -> bool:
        return any(what.startswith(f"`{key}`") for what in listed)

    for key, field in Configuration.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(
            field.annotation, Settings
        ):
            for name in field.annotation.model_fields:
                assert is_listed(f"{key}: {name}"), (key, name)
        elif key not in ("recipes", "baselines", "methods"):
            assert is_listed(key), key
    for name in BaselineSettings.model_fields:
        assert is_listed(f"baselines: dense: {name}"), name
    for name in Recipe.model_fields:
        what = f"the baseline's recipe: `{name}`"
        assert any(line.startswith(what) for line in listed), name
    package = ROOT / "shears"
    assert MODULES.keys() == {
        path.relative_to(package).with_suffix("").as_posix()
        for path in package.rglob("*.py")
    }
    assert SCRIPTS.keys() == {path.stem for path in (ROOT / "scripts").glob("*.py")}


def test_the_documented_table_is_the_one_tested():
    assert table() in (ROOT / "docs/reliability.md").read_text(encoding="utf-8")


def test_the_archive_reruns_everything_and_its_date_nothing(tmp_path, good_archive):
    project = copy_project(tmp_path / "cifar", data={"name": "cifar10"})
    dataset = "results/dataset.h5"
    source = str(good_archive)
    run = snakemake(project, dataset, CIFAR10_ARCHIVE=source)
    assert run.returncode == 0, run.stdout
    archive = project / "resources/cifar-10-binary.tar.gz"
    archive.touch()
    for environment in ({}, {"CIFAR10_ARCHIVE": "/elsewhere"}):
        assert (
            "Nothing to be done"
            in snakemake(project, "-n", dataset, **environment).stdout
        )
    # The lines of the table that need a project with a download.
    edits = [edit for edit in EDITS if re.search("urls|sha256|download", edit.what)]
    assert len(edits) == 4
    for edit in edits:
        edit.apply(project)
        assert "Nothing to be done" in snakemake(project, "-n", dataset).stdout
    with archive.open("ab") as file:
        file.write(b"x")
    planned = snakemake(project, "-n", dataset).stdout
    assert "Preparing the images of cifar10" in planned
    assert "Fetching the CIFAR-10 archive" not in planned

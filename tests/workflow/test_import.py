"""The student's own things: a network that plain Keras trained, and a notebook."""

import io
import os
import shutil
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from scripts.import_baseline import import_baseline
from shears.data.dataset import read_split
from shears.optimizer_study.fill import fill_file
from shears.runtime.files import read_json
from shears.training.outputs import TrainingFiles
from shears.training.run_context import RunContext
from shears.weight_files.canonical import read_weights, write_weights
from tests.conftest import make_parameters, refused
from tests.unit.optimizer_study.course import write
from tests.unit.weight_files.bad_archives import BAD_ARCHIVES
from tests.unit.weight_files.genuine_files import unpack
from tests.workflow.project import jobs, snakemake
from tools.keras_files import get_keras, sequential

MINE = ("--config", "baselines={mine: {weights: x.keras}}")
MINE += (
    "pruning={baseline: mine, teacher: own, rounds: [{sparsity: 0.9, epochs: 1}]}",
)
OWN = (*MINE, "notebook=course.ipynb")
AFTERWARDS = {"choose_submission": 1, "package_submission": 1, "pack_submission": 1}
AFTERWARDS |= {"prune_round": 1, "score_candidate": 2, "score_report": 1, "all": 1}
AFTERWARDS |= {"run_pruning_notebook": 1}


@pytest.fixture(scope="module")
def trained(finished, tmp_path_factory) -> Path:
    """A copy of the finished project, with a network of Keras' as .keras and .h5."""
    folder = tmp_path_factory.mktemp("import") / "project"
    shutil.copytree(finished[0], folder, symlinks=True)
    data = read_split(folder / "results/dataset.h5", "train")
    get_keras().utils.set_random_seed(0)
    model = sequential()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data.images / np.float32(255), data.labels, epochs=3, verbose=0)
    model.save(folder / "x.keras")
    model.save(folder / "x.h5")
    write(folder / "course.ipynb")
    return folder


@pytest.fixture(scope="module")
def pruned(trained) -> tuple[Path, str]:
    """The project after the run that imports and prunes it, and what that printed."""
    run = snakemake(trained, *OWN)
    assert run.returncode == 0, run.stdout
    return trained, run.stdout


def edit_weight(path: Path) -> None:
    """Changes a weight in a .keras file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = io.BytesIO(members["model.weights.h5"])
    with h5py.File(content, "r+") as file:
        file["layers/dense/vars/0"][0, 0] += 1
    members["model.weights.h5"] = content.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


@pytest.mark.slow
def test_one_key_leads_from_a_keras_file_to_a_pruned_submission(pruned):
    project, printed = pruned
    assert "Importing the baseline mine from x.keras" in printed
    assert "train_baseline" not in printed and "train_teacher" not in printed
    dense = project / "results/mine/seed_0"
    expected = get_keras().models.load_model(project / "x.keras").get_weights()
    for ours, theirs in zip(
        read_weights(dense / "weights.h5").arrays, expected, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert len((dense / "history.csv").read_text().splitlines()) == 1  # the header
    metrics = read_json(dense / "metrics.json")
    scored = read_json(dense / "score_validation.json")
    assert metrics["imported"]["file"] == "x.keras"
    assert metrics["validation_accuracy"] == scored["accuracy"] > 0.8
    manifest = read_json(project / "results/submission/manifest.json")
    assert manifest["candidate"] == "lamp/seed_0/round_1"
    assert manifest["sparsity"] == pytest.approx(0.9, abs=1e-6)
    report = (project / "results/report.html").read_text()
    assert (
        "baseline mine was imported from x.keras (Keras 3 model, written by Keras"
        in report
    )


@pytest.mark.slow
def test_the_students_notebook_is_filled_and_handed_in(pruned):
    project, printed = pruned
    assert (
        "Filling the course's notebook" in printed and "Running Part A" not in printed
    )
    with zipfile.ZipFile(project / "results/submission.zip") as archive:
        text = archive.read("README.txt").decode()
        content = archive.read("assignment_notebook.ipynb")
    assert "It is your own download of the course's\nnotebook" in text
    assert content == fill_file(project / "course.ipynb").encode()
    file = project / "course.ipynb"
    before = file.read_bytes()
    os.utime(file)
    assert jobs(project, *OWN) == {}
    file.write_bytes(before.replace(b"# Optimizers", b"# The optimizers"))
    again = {"fill_notebook": 1, "pack_submission": 1, "all": 1}
    assert jobs(project, *OWN) == again
    file.write_bytes(before)


@pytest.mark.slow
def test_its_contents_rerun_the_import_and_the_rounds_and_its_date_nothing(pruned):
    project, _ = pruned
    file = project / "x.keras"
    assert jobs(project, *OWN) == {}
    os.utime(file)
    assert jobs(project, *OWN) == {}
    before = file.read_bytes()
    edit_weight(file)
    again = {"import_baseline": 1, "save_baseline_logits": 1, **AFTERWARDS}
    assert jobs(project, *OWN) == again
    file.write_bytes(before)
    assert jobs(project, *OWN) == {}
    other = [argument.replace("x.keras", "x.h5") for argument in OWN]
    assert jobs(project, *other) == again


BAD_FILES = {
    "damaged": (
        lambda path, good: path.write_bytes(good[:-1]),
        "not readable as a .keras file (no end of a zip archive)",
    ),
    "missing": (
        lambda path, good: None,
        "found no file at bad.keras, expected a weights file (.h5 or .keras)",
    ),
    "too sparse": (
        lambda path, good: write_weights(path, make_parameters(0, zeros=0.95)),
        "bad.keras: found a sparsity of 0.9498, expected less than 0.9, which the",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "configuration", "message"),
    [
        (
            "bad.keras",
            ("baselines={mine: {weights: bad.keras}}", "pruning={baseline: mine}"),
            "baselines: mine: weights: bad.keras: not readable as a .keras file (no "
            "end of a zip archive)",
        ),
        ("bad.ipynb", ("notebook=bad.ipynb",), "bad.ipynb: found no graded cells"),
    ],
)
def test_a_bad_file_is_refused_before_anything_runs(
    project, tmp_path, file, configuration, message
):
    good = unpack("keras-3.15.sequential.save.keras", tmp_path).read_bytes()
    notebook = b'{"nbformat": 4, "cells": []}'
    (project / file).write_bytes(good[:-1] if file == "bad.keras" else notebook)
    run = snakemake(project, "--config", *configuration)
    (project / file).unlink()
    assert run.returncode == 1
    assert run.stdout.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in run.stdout
    assert not (project / "results").exists()


@pytest.mark.parametrize("kind", ["a flipped bit", "a bomb", "assets", "NaN"])
def test_the_job_refuses_a_bad_file_and_writes_nothing(tmp_path, kind):
    good = unpack("keras-3.15.sequential.save.keras", tmp_path).read_bytes()
    change, message = BAD_ARCHIVES[kind]
    source = tmp_path / "bad.keras"
    source.write_bytes(change(good))
    names = ("weights.h5", "history.csv", "metrics.json")
    files = TrainingFiles(*(tmp_path / "mine" / name for name in names))
    with refused(source, message):
        import_baseline(
            RunContext("float32", 0), files, source=str(source), dataset="none.h5"
        )
    assert not (tmp_path / "mine").exists()

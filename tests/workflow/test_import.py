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
from shears.weight_files.canonical import read_weights
from tests.conftest import refused
from tests.unit.optimizer_study.course import write
from tests.unit.weight_files.bad_archives import BAD_ARCHIVES
from tests.unit.weight_files.genuine_files import unpack
from tests.workflow.project import jobs, snakemake
from tools.keras_files import get_keras, sequential

MINE = ("--config", "baselines={mine: {weights: x.keras}}")
MINE += (
    "pruning={baseline: mine, teacher: own, rounds: [{sparsity: 0.9, epochs: 1}]}",
)
MINE += ("latency={runs: 0}",)
OWN = (*MINE, "notebook=course.ipynb")
AFTERWARDS = {"choose_submission": 1, "package_submission": 1, "pack_submission": 1}
AFTERWARDS |= {"prune_round": 1, "score_candidate": 2, "score_report": 1, "all": 1}
AFTERWARDS |= {"run_pruning_notebook": 1}


@pytest.fixture
def trained(finished, tmp_path) -> Path:
    """A copy of the finished project, with a network of Keras' as .keras and .h5."""
    folder = shutil.copytree(finished[0], tmp_path / "project", symlinks=True)
    data = read_split(folder / "results/dataset.h5", "train")
    get_keras().utils.set_random_seed(0)
    model = sequential()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data.images / np.float32(255), data.labels, epochs=3, verbose=0)
    model.save(folder / "x.keras")
    model.save(folder / "x.h5")
    write(folder / "course.ipynb")
    return folder


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
def test_a_keras_file_and_the_courses_notebook_lead_to_a_submission(trained):
    # In one test, because the run takes long and workers do not share it.
    run = snakemake(trained, *OWN)
    assert run.returncode == 0, run.stdout
    assert_it_is_pruned(trained, run.stdout)
    assert_the_notebook_is_filled(trained, run.stdout)
    assert_contents_rerun_and_dates_do_not(trained)


def assert_it_is_pruned(project: Path, printed: str) -> None:
    assert "Importing the baseline mine from x.keras" in printed
    assert "train_baseline" not in printed and "train_teacher" not in printed
    dense = project / "results/mine/seed_0"
    expected = get_keras().models.load_model(project / "x.keras").get_weights()
    for ours, theirs in zip(
        read_weights(dense / "weights.h5").arrays, expected, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert (
        len((dense / "history.csv").read_text(encoding="utf-8").splitlines()) == 1
    )  # the header
    metrics = read_json(dense / "metrics.json")
    scored = read_json(dense / "score_validation.json")
    assert metrics["imported"]["file"] == "x.keras"
    assert metrics["validation_accuracy"] == scored["accuracy"] > 0.8
    manifest = read_json(project / "results/submission/manifest.json")
    assert manifest["candidate"] == "lamp/seed_0/round_1"
    assert manifest["sparsity"] == pytest.approx(0.9, abs=1e-6)
    report = (project / "results/report.html").read_text(encoding="utf-8")
    text = "baseline mine was imported from x.keras (Keras 3 model, written by Keras"
    assert text in report


def assert_the_notebook_is_filled(project: Path, printed: str) -> None:
    assert "Filling the course's notebook" in printed
    assert "Running Part A's notebook" not in printed
    with zipfile.ZipFile(project / "results/submission.zip") as archive:
        text = archive.read("README.txt").decode()
        content = archive.read("assignment_notebook.ipynb")
    assert "It is your own download of the course's\nnotebook" in text
    assert content == fill_file(project / "course.ipynb").encode()


def assert_contents_rerun_and_dates_do_not(project: Path) -> None:
    network, notebook = project / "x.keras", project / "course.ipynb"
    os.utime(network)
    os.utime(notebook)
    assert jobs(project, *OWN) == {}
    before = network.read_bytes()
    edit_weight(network)
    again = {"import_baseline": 1, "save_baseline_logits": 1, **AFTERWARDS}
    assert jobs(project, *OWN) == again
    network.write_bytes(before)
    other = [argument.replace("x.keras", "x.h5") for argument in OWN]
    assert jobs(project, *other) == again
    changed = notebook.read_bytes().replace(b"# Optimizers", b"# The optimizers")
    notebook.write_bytes(changed)
    assert jobs(project, *OWN) == {"fill_notebook": 1, "pack_submission": 1, "all": 1}


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

"""A refit: the chosen network's chain once more, on all images, and handed in."""

import os
import re
import signal

import pytest

from shears.data.dataset import read_split
from shears.pruning.masks import zeros_for
from shears.runtime.files import checksum, read_json
from shears.weight_files.canonical import read_weights
from tests.workflow.project import (
    TINY,
    copy_project,
    edited,
    jobs,
    snakemake,
    start,
    wait_for,
)

TRAINED = {"refit_dataset": 1, "refit_baseline": 1, "refit_round": 1}
PACKAGED = {"package_submission": 1, "pack_submission": 1, "score_report": 1, "all": 1}


@pytest.mark.slow
def test_a_refit_is_resumed_inherits_the_place_and_cannot_change_the_choice(tmp_path):
    project = copy_project(tmp_path / "project", **TINY, refit=True)
    assert not TRAINED.keys() & jobs(project).keys()  # the choice is not known yet
    run = start(project)
    printed = wait_for(run, "Refitting lamp on all images")
    printed += wait_for(run, "epoch 1/2")
    assert "validation accuracy" not in printed.splitlines()[-1]
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    choice = (project / "results/choice.json").read_bytes()
    left = jobs(project)
    assert left["refit_round"] == left["refit_score"] == 1
    assert not {"refit_dataset", "refit_baseline", "prune_round"} & left.keys()
    again = snakemake(project)
    assert again.returncode == 0, again.stdout[-3000:]
    assert "resuming after epoch 1/2" in again.stdout
    assert re.search("makes: .*the refit of the chosen network", again.stdout)
    assert "and the refit" not in again.stdout
    assert jobs(project) == {}

    results = project / "results"
    assert (results / "choice.json").read_bytes() == choice
    manifest = read_json(results / "submission/manifest.json")
    name = "lamp/seed_0/round_1"
    submission = results / "submission/my_model_weights.h5"
    assert manifest["candidate"] == name
    assert checksum(submission) == checksum(results / "refit" / name / "weights.h5")
    assert checksum(submission) != checksum(results / name / "weights.h5")
    assert read_weights(submission).count_zeros() == zeros_for(0.8)
    validation = read_json(results / name / "score_validation.json")
    assert manifest["validation"]["score"] == validation["score"]
    of_refit = read_json(results / "refit" / name / "score_test.json")
    of_run = read_json(results / name / "score_test.json")
    assert manifest["test"]["score"] == of_refit["score"]
    assert manifest["refit"] == {
        "images": 1500,
        "validation_images": 300,
        "candidate_test": {key: of_run[key] for key in ("accuracy", "score")},
    }
    assert len(read_split(results / "refit/dataset.h5", "train").labels) == 1500
    assert "on 1,500 images" in (results / "report.html").read_text(encoding="utf-8")
    # Nothing is validated on images that were trained on.
    assert not list((results / "refit").rglob("score_validation.json"))
    metrics = read_json(results / "refit" / name / "metrics.json")
    assert metrics["validation_accuracy"] is None

    # Test scores, the refit's too, change what is reported and nothing else.
    for score in (results / name, results / "refit" / name):
        with edited(score / "score_test.json", '"correct": ', '"correct": 9'):
            assert jobs(project) == PACKAGED
    assert jobs(project, "--config", "refit=False") == PACKAGED

import json
import math
import os

import numpy as np
import pytest

from shears.reporting.live import (
    Watched,
    describe_run,
    is_finished,
    read_checkpoint,
    read_stages,
)
from shears.training.checkpoint import Checkpoint, State
from tests.invented_runs import begin, finish, history, save_checkpoint, write_run


@pytest.fixture
def base(tmp_path):
    """A run whose baseline is done and whose first round has had two epochs."""
    dense = finish(tmp_path, "dense/seed_0", 90, 0.0)
    begin(tmp_path, "lamp/seed_0/round_1", [dense], epochs=6)
    save_checkpoint(tmp_path, "lamp/seed_0/round_1", history(2, 0.5))
    return tmp_path


def test_the_history_is_read_as_training_writes_it(tmp_path):
    path = tmp_path / "a.npz"
    rows = history(3, 0.5)
    Checkpoint(path, "key").save(State({"x": np.zeros(3)}, rows, False))
    assert read_checkpoint(path) == rows
    path.write_bytes(path.read_bytes()[:-50])
    assert read_checkpoint(path) == read_checkpoint(tmp_path / "none.npz") == []


def test_stages_say_how_far_they_are(base):
    begin(base, "erk/seed_0/round_1")
    save_checkpoint(base, "teacher/seed_0", history(1, 0.0))
    (base / "results/teacher/seed_0").mkdir(parents=True)
    texts = {stage.name: stage.text for stage in read_stages(base)}
    assert texts == {
        "teacher/seed_0": "epoch 1",
        "dense/seed_0": "done, 4 epochs",
        "erk/seed_0/round_1": "in its first epoch, or interrupted in it",
        "lamp/seed_0/round_1": "epoch 2 of 6, 0:08 left",
    }


def test_the_page_has_curves_picture_and_scores_of_what_is_there(base):
    about = describe_run(base)
    assert [stage.name for stage in about["running"]] == ["lamp/seed_0/round_1"]
    assert list(about["charts"]) == ["frontier", "curves_0"]
    assert about["charts"]["curves_0"].title == "Learning curves: lamp, seed 0"
    (rows,) = (
        rows
        for rows in about["specs"]["curves_0"][2]["datasets"].values()
        if "value" in rows[0]
    )
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert len(about["network"]["data"]["stages"]) == 1


def test_the_version_changes_when_an_epoch_ends_and_nothing_is_written(base):
    watched = Watched(base)
    before = sorted((p, p.stat().st_mtime_ns) for p in base.rglob("*"))
    first = watched.state()
    assert watched.state() is first  # nothing is drawn again
    assert sorted((p, p.stat().st_mtime_ns) for p in base.rglob("*")) == before
    path = save_checkpoint(base, "lamp/seed_0/round_1", history(3, 0.5))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    second = watched.state()
    assert second["version"] != first["version"]
    assert "epoch 3 of 6" in second["body"] and not second["finished"]


def test_a_run_that_has_only_begun_has_a_page(tmp_path):
    (tmp_path / "results").mkdir()
    assert "Nothing is trained yet." in Watched(tmp_path).state()["body"]


def test_a_damaged_file_is_said_on_the_page(base):
    (base / "results/dense/seed_0/weights.h5").write_bytes(b"no")
    state = Watched(base).state()
    assert "weights.h5: damaged" in state["body"] and state["specs"] == {}


def test_a_finished_run_is_its_report_until_training_goes_on(tmp_path):
    results = write_run(tmp_path)
    assert is_finished(tmp_path)
    watched = Watched(tmp_path)
    assert watched.page() == (results / "report.html").read_bytes()
    begin(tmp_path, "lamp/seed_0/round_3")
    assert not is_finished(tmp_path)
    assert b"lamp, seed 0, round 3" in watched.page()


def test_a_stage_that_the_report_was_made_without_does_not_keep_it_back(tmp_path):
    begin(tmp_path, "erk/seed_0/round_1")
    results = write_run(tmp_path)
    record = results / "erk/seed_0/round_1/.weights.h5.job.json"
    os.utime(record, (1000, 1000))
    assert is_finished(tmp_path)
    os.utime(record)
    os.utime(results / "report.html", (2000, 2000))
    assert not is_finished(tmp_path)


def test_a_damaged_file_of_a_finished_run_is_said_on_the_page(tmp_path):
    results = write_run(tmp_path)
    (results / "dense/seed_0/history.csv").write_bytes(b"no\n1,2\n")
    state = Watched(tmp_path).state()
    assert "history.csv: damaged" in state["body"] and not state["finished"]


def test_a_refit_is_shown_without_validation_accuracy(base):
    unknown = {"validation_accuracy": math.nan, "validation_loss": math.nan}
    rows = [{**row, **unknown} for row in history(2, 0.9)]
    finish(base, "refit/dense/seed_0", 90, 0.0, scored=False)
    dense = base / "results/refit/dense/seed_0/weights.h5"
    (base / "results/refit/teacher/seed_0").mkdir(parents=True)
    save_checkpoint(base, "refit/teacher/seed_0", rows)
    begin(base, "refit/lamp/seed_0/round_1", [dense], epochs=6)
    save_checkpoint(base, "refit/lamp/seed_0/round_1", rows)
    about = describe_run(base)
    assert [stage.name for stage in about["stages"]][2:] == [
        "refit/teacher/seed_0",
        "refit/dense/seed_0",
        "refit/lamp/seed_0/round_1",
    ]
    titles = [chart.title for chart in about["charts"].values()]
    assert "Learning curves: refit, lamp, seed 0" in titles
    state = Watched(base).state()
    json.dumps(state, allow_nan=False)
    assert "nan" not in state["body"]

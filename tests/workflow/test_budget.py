"""A time budget: epochs are scaled once, and later runs keep to that."""

import pytest

from shears.runtime.files import read_csv, read_json
from tests.workflow.project import TINY, copy_project, snakemake


@pytest.mark.slow
def test_a_run_trains_the_scaled_epochs_and_nothing_trains_again(tmp_path):
    project = copy_project(tmp_path / "project", **TINY, budget="1min")
    target = "results/dense/seed_0/weights.h5"
    run = snakemake(project, target)
    assert run.returncode == 0, run.stdout[-3000:]
    # Starting everything takes longer than that.
    assert "the run does not fit 1min" in run.stdout
    assert "epochs: dense 1 of 4, lamp 1 1 of 2" in run.stdout
    assert "for 1 epochs" in run.stdout
    history = project / "results/dense/seed_0/history.csv"
    assert len(read_csv(history)) == 1
    kept = (project / "results/budget.json").read_bytes()
    assert read_json(project / "results/budget.json")["1min"]["factor"] == 0
    again = snakemake(project, "-n", target)
    assert "Nothing to be done" in again.stdout
    assert (project / "results/budget.json").read_bytes() == kept

"""A trial: methods compared image by image, and nothing more."""

import csv
import re

import pytest

from tests.workflow.project import TINY, copy_project, snakemake


@pytest.mark.slow
def test_a_trial_compares_networks_on_the_validation_images_alone(tmp_path):
    project = copy_project(tmp_path / "project", **TINY, run=["lamp", "one_shot"])
    run = snakemake(project, "trial")
    assert run.returncode == 0, run.stdout[-3000:]
    with (project / "results/trial.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["measure"]) for row in rows] == [
        ("one_shot", "cross_entropy"),
        ("one_shot", "accuracy"),
    ]
    assert {(row["against"], row["images"]) for row in rows} == {("lamp", "300")}
    numbers = (f"{float(rows[1][key]):.4f}" for key in ("first", "other"))
    line = " +".join(["one_shot", "accuracy", *numbers])
    assert re.search(f"{line} .*{rows[1]['verdict']}$", run.stdout, re.M)
    assert "300 validation images, 1 seed" in run.stdout
    made = {path.name for path in (project / "results").rglob("*.*")}
    assert not {"choice.json", "report.html", "latency.json", "submission.zip"} & made
    assert not {"score_test.json", "predictions_test.csv"} & made


def test_a_trial_of_one_method_is_refused_in_a_line(project):
    run = snakemake(project, "-n", "trial")
    assert run.returncode == 1
    assert "run: found ['lamp'], expected at least two methods for" in run.stdout
    assert "Traceback" not in run.stdout

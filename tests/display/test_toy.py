"""The project's own workflow on small data, as a person sees it in a pipe."""

import os
import subprocess
import sys

import pytest

from tests.workflow.project import copy_project


@pytest.mark.slow
def test_the_whole_workflow_is_fewer_than_60_lines(tmp_path):
    folder = copy_project(tmp_path / "project")
    environment = {k: v for k, v in os.environ.items() if k != "VERBOSE"}
    ended = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "all"],
        cwd=folder,
        env={**environment, "PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert ended.returncode == 0, ended.stdout
    lines = ended.stdout.splitlines()
    assert len(lines) < 60
    assert lines[1].startswith("makes: the data set, a teacher, its logits, a dense")
    assert lines[2].startswith("disk:  ") and lines[3].startswith("time:  about ")
    for noise in ("oneDNN", "cuda", "Select jobs", "Shell command", "Reason:", "%"):
        assert noise not in ended.stdout
    assert sum(line.startswith("✓ ") for line in lines) == 24
    assert sum(line.startswith("→ ") for line in lines) == 2  # the chosen one, a legend
    assert lines[-3:] == [
        "report:     results/report.html",
        "submission: results/submission/my_model_weights.h5",
        "scores:     results/submission/manifest.json",
    ]

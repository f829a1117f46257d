"""The speed of training is measured in another process."""

import subprocess
import sys

import pytest

from shears.runtime.errors import UserError
from shears.training import speed
from shears.training.recipe import Recipe
from shears.training.speed import Step, measure
from tests import ROOT

RECIPE = Recipe(learning_rate=1e-3, batch_size=8)


@pytest.mark.slow
def test_each_kind_of_step_is_measured():
    steps = [
        Step(RECIPE, "float32"),
        Step(RECIPE.model_copy(update={"batch_norm": True}), "float32", distilled=True),
        Step(RECIPE, "float32", width=0.25),
        Step(RECIPE.model_copy(update={"batch_size": 128}), "float32"),
    ]
    start, times = measure(steps, threads=1, seconds=0.1)
    assert 0 < start < 300
    assert len(times) == 4
    assert all(1e-6 < time.per_image < 1 and time.compiling > 0 for time in times)
    assert times[3].per_image < times[0].per_image  # small steps cost more for an image


def test_a_failed_measurement_is_one_line(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="could not be measured: exit 1$"):
        measure([Step(RECIPE)], threads=1)


def test_a_measurement_that_hangs_ends(monkeypatch, tmp_path):
    program = tmp_path / "python"
    program.write_text("#!/bin/sh\nexec sleep 60\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(speed, "LONGEST", 0.1)
    with pytest.raises(UserError, match="could not be measured: .*timed out"):
        measure([Step(RECIPE)], threads=1)


def test_who_asks_does_not_start_tensorflow():
    code = "import sys, shears.training.speed; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

"""The filled notebooks of Part A in old and new TensorFlows, and in nbgrader."""

import json
import os
import subprocess

import pytest

from shears.notebooks.document import Document, read_document, source_of
from shears.notebooks.source import MAGIC
from shears.optimizer_study.course_notebook import POINTS, grade_id
from shears.optimizer_study.fill import fill
from tests import ROOT
from tests.graders.environments import install
from tests.unit.optimizer_study.course import document
from tests.unit.optimizer_study.test_fill import FORMS, course_notebook

OURS = ROOT / "notebooks/assignment_notebook.ipynb"
# Runs cells one after the other, as Jupyter does; old Pythons have no Jupyter here.
RUNNER = """
import json, sys
names = {"__name__": "__main__"}
for cell, source in json.load(open(sys.argv[1])):
    exec(compile(source, cell, "exec"), names)
    print("done", cell)
"""


def run(python: str, environment: dict[str, str], notebook: Document, folder) -> str:
    """Runs a notebook's code without its magics; returns what it prints."""
    cells = [
        (grade_id(c) or "other", MAGIC.sub(r"\1pass", source_of(c)))
        for c in notebook.cells
        if c["cell_type"] == "code"
    ]
    (folder / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
    (folder / "run.py").write_text(RUNNER, encoding="utf-8")
    outcome = subprocess.run(
        [python, "run.py", "cells.json"],
        cwd=folder,
        env=environment | {"MPLBACKEND": "agg", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        encoding="utf-8",
    )
    assert outcome.returncode == 0, outcome.stderr
    return outcome.stdout


@pytest.mark.parametrize("name", ["tensorflow-2.2", "tensorflow-2.15", "keras"])
def test_the_filled_notebooks_pass_their_tests(name, tmp_path):
    python, environment = install(name)
    course = document(FORMS["ids"](course_notebook()))
    for notebook in (fill(course), fill(read_document(OURS))):
        printed = run(python, environment, notebook, tmp_path)
        assert all(f"done {test}\n" in printed for test in POINTS)


def test_nbgrader_validates_the_filled_notebook(tmp_path):
    python, environment = install("nbgrader")
    # As an instance of nbgrader hands it out: with checksums.
    content = FORMS["metadata"](course_notebook())
    (tmp_path / "open.ipynb").write_text(json.dumps(content), encoding="utf-8")
    seal = (
        "import nbformat\n"
        "from nbgrader.utils import compute_checksum\n"
        "nb = nbformat.read('open.ipynb', 4)\n"
        "for cell in nb.cells:\n"
        "    if 'nbgrader' in cell.metadata:\n"
        "        cell.metadata.nbgrader['schema_version'] = 3\n"
        "        cell.metadata.nbgrader['task'] = False\n"
        "        cell.metadata.nbgrader['checksum'] = compute_checksum(cell)\n"
        "nbformat.write(nb, 'open.ipynb')\n"
    )
    environment |= {"HOME": str(tmp_path), "JUPYTER_PLATFORM_DIRS": "0"}
    environment["PATH"] = os.pathsep.join([os.path.dirname(python), os.environ["PATH"]])

    def start(*command: str) -> str:
        outcome = subprocess.run(
            [python, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
        )
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    start("-c", seal)
    shears = ["-m", "shears", "notebook"]
    environment["PYTHONPATH"] += os.pathsep + str(ROOT)
    start(*shears, "fill", "open.ipynb", "--output", "filled.ipynb")
    assert "points                 40 of 40" in start(*shears, "check", "filled.ipynb")
    nbgrader = ["-m", "nbgrader", "validate"]
    assert "Success! Your notebook passes all the tests." in start(
        *nbgrader, "filled.ipynb"
    )
    assert "failed" in start(*nbgrader, "open.ipynb")

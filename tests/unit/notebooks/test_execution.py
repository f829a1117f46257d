import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from shears.notebooks.execution import execute
from shears.runtime.errors import UserError
from tests import ROOT


def test_execution_keeps_outputs_and_leaves_out_notes_and_times():
    notebook = new_notebook(
        cells=[
            new_code_cell(
                "import sys\nprint('out')\nprint('note', file=sys.stderr)\n6 * 7"
            ),
        ]
    )
    done = execute(notebook)
    assert notebook.cells[0].outputs == []
    stream, result = done.cells[0].outputs
    assert (stream.name, stream.text) == ("stdout", "out\n")
    assert result.data["text/plain"] == "42"
    assert "execution" not in done.cells[0].metadata
    assert nbformat.writes(execute(notebook)) == nbformat.writes(done)


def test_the_project_cannot_be_imported_while_it_runs(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = new_notebook(cells=[new_code_cell("import shears")])
    with pytest.raises(
        UserError, match="ModuleNotFoundError: No module named 'shears'"
    ):
        execute(notebook)


def test_a_failing_cell_is_reported_in_a_line():
    notebook = new_notebook(cells=[new_code_cell("assert 1 == 2, 'not so'")])
    with pytest.raises(UserError) as caught:
        execute(notebook)
    assert "the notebook fails: AssertionError: not so" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_notebook_is_given_variables_and_named_in_its_error():
    notebook = new_notebook(
        cells=[new_code_cell("import os\nassert 0, os.environ['A']")]
    )
    with pytest.raises(UserError, match="AssertionError: b; its cells are in mine"):
        execute(notebook, source="mine.ipynb", variables={"A": "b"})


def test_a_killed_kernel_is_reported_in_a_line():
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    notebook = new_notebook(cells=[new_code_cell(source)])
    with pytest.raises(UserError, match="the notebook's process was killed"):
        execute(notebook)

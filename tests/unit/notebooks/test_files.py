import ast
import json

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from shears.notebooks.files import read_notebook, self_contained, write_notebook
from shears.runtime.errors import UserError
from tests import ROOT
from tests.unit.optimizer_study.banned import banned_names

NOTEBOOK = ROOT / "notebooks/assignment_notebook.ipynb"


def sources(notebook) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
def test_the_notebook_runs_with_the_library(monkeypatch):
    """As a person would, but in this process; every assert in it is executed."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    names: dict = {}
    cells = sources(read_notebook(NOTEBOOK))
    assert "".join(cells).count("assert ") > 15
    for number, source in enumerate(cells):
        exec(compile(source, f"cell {number}", "exec"), names)
    assert set(names["paths"]) == {"gradient descent", "SGD", "AdaGrad", "Adam"}


def test_the_notebooks_own_cells_name_no_banned_optimizer():
    for source in sources(read_notebook(NOTEBOOK)):
        assert banned_names(source) == set()


def test_the_notebook_is_committed_without_outputs():
    for cell in read_notebook(NOTEBOOK).cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None


def test_the_copy_holds_the_librarys_code_and_imports_nothing_of_it():
    notebook = self_contained(read_notebook(NOTEBOOK), ROOT)
    text = "\n".join(sources(notebook))
    assert "shears" not in text
    assert "def adam(" in text and "def adagrad(" in text
    library = (ROOT / "shears/optimizer_study/optimizers.py").read_text()
    (cell,) = [source for source in sources(notebook) if "def adam(" in source]
    expected = library.replace(
        "from shears.runtime.backend import tf", "import tensorflow as tf"
    )
    assert cell == expected.strip()
    assert banned_names(cell) == set()
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    allowed = {"__future__", "math", "typing", "matplotlib", "numpy", "tensorflow"}
    assert imported <= allowed


def test_a_module_that_needs_others_is_refused(tmp_path):
    (tmp_path / "shears").mkdir()
    (tmp_path / "shears/needy.py").write_text(
        "from shears.runtime.files import write_json\n"
    )
    notebook = new_notebook(cells=[new_code_cell("from shears.needy import a")])
    with pytest.raises(ValueError, match="shears.needy imports shears.runtime.files"):
        self_contained(notebook, tmp_path)


@pytest.mark.parametrize("content", ["", "{}", "[1]", "text", json.dumps({"cells": 1})])
def test_a_file_that_is_no_notebook_is_refused(tmp_path, content):
    path = tmp_path / "a.ipynb"
    path.write_text(content)
    with pytest.raises(UserError, match="a.ipynb: not a Jupyter notebook"):
        read_notebook(path)
    with pytest.raises(UserError, match="none.ipynb: not a Jupyter notebook"):
        read_notebook(tmp_path / "none.ipynb")


def test_writing_it_is_whole_and_sealed(tmp_path):
    path = tmp_path / "new/a.ipynb"
    write_notebook(path, new_notebook(cells=[new_code_cell("1")]))
    assert sources(read_notebook(path)) == ["1"]
    assert (path.parent / ".a.ipynb.sha256").exists()

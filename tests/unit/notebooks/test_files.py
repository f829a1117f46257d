import pytest
from nbformat.v4 import new_code_cell, new_notebook

from shears.notebooks.document import Document, read_document
from shears.notebooks.files import as_notebook, write_notebook
from shears.runtime.errors import UserError


def test_writing_a_notebook_is_whole_and_sealed(tmp_path):
    path = tmp_path / "new/a.ipynb"
    write_notebook(path, new_notebook(cells=[new_code_cell("1")]))
    assert [cell.source for cell in as_notebook(read_document(path)).cells] == ["1"]
    assert (path.parent / ".a.ipynb.sha256").exists()


def test_what_jupyter_cannot_run_is_refused():
    content = {"nbformat": 4, "cells": [{"cell_type": "code", "source": "1"}] * 2}
    with pytest.raises(UserError, match="not a valid notebook"):
        as_notebook(Document(content | {"cells": 3}, None, True, ""))

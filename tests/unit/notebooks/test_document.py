import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.notebooks.document import Document, read_document, source_of
from shears.runtime.errors import UserError
from tests.unit.optimizer_study.course import cell

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=10,
)


def notebook(*cells, **others):
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, **others}


def saved(tmp_path, content, **layout):
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(content, **layout) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "layout",
    [{"indent": 1}, {"indent": 2}, {"indent": "\t"}, {}, {"ensure_ascii": False}],
    ids=str,
)
def test_what_is_not_edited_is_written_as_it_was(tmp_path, layout):
    content = notebook(
        cell("# Größe ≥ 1\n", "markdown"),
        cell("x = 1\n\ny = 'é'"),
        nbformat_minor=5,
        colab={"name": "a", "collapsed_sections": [1.5, True, None]},
    )
    path = saved(tmp_path, content, **layout)
    assert read_document(path).encode() == path.read_bytes()


@pytest.mark.parametrize("source", ["a\nb\n", ["a\n", "b\n"]])
def test_new_code_keeps_the_form_of_the_old_and_drops_outputs(source):
    before = cell("") | {
        "source": source,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "old"}],
        "execution_count": 7,
        "id": "abc",
    }
    document = Document(notebook(before, cell("kept")), " ", False, "\n")
    after = document.with_sources({0: "c\nd"}).cells
    assert after[0]["source"] == ("c\nd" if isinstance(source, str) else ["c\n", "d"])
    assert after[0]["outputs"] == [] and after[0]["execution_count"] is None
    assert after[0]["id"] == "abc"
    assert after[1] == cell("kept")
    assert document.cells[0] == before  # a copy was changed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not readable as JSON"),
        (b"text", "not readable as JSON"),
        (b"\xff\xfe", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b'{"nbformat": 4, "cells": [], "a": NaN}', "not readable as JSON"),
        (b'{"nbformat": 4, "cells": [], "a": 1e999}', "not readable as JSON"),
        (b'{"nbformat": 4, "cells": [], "a": "\\ud800"}', "not readable as JSON"),
        (b"[1]", "found no key nbformat"),
        (b"{}", "found no key nbformat"),
        (
            b'{"nbformat": 3, "worksheets": []}',
            "notebook format 3, expected 4: open it",
        ),
        (b'{"nbformat": 5, "cells": []}', "notebook format 5, expected 4: save it"),
        (b'{"nbformat": true, "cells": []}', "notebook format true, expected 4"),
        (b'{"nbformat": 4}', "found no list of cells"),
        (b'{"nbformat": 4, "cells": {}}', "found no list of cells"),
        (b'{"nbformat": 4, "cells": [1]}', "cell 1: found no cell_type"),
        (
            b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}',
            "cell 1: found no source",
        ),
        (
            b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": ["a", 1]}]}',
            "cell 1: found no source",
        ),
    ],
)
def test_a_file_that_is_no_notebook_is_refused_in_a_line(tmp_path, content, message):
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_document(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="none.ipynb: No such file"):
        read_document(tmp_path / "none.ipynb")
    with pytest.raises(UserError, match="found a folder"):
        read_document(tmp_path)


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "a.ipynb"
    with path.open("wb") as file:
        file.truncate(65 << 20)
    with pytest.raises(UserError, match="found 68,157,440 bytes, expected at most"):
        read_document(path)


@given(JSON | st.builds(lambda cells: notebook(*cells), st.lists(JSON, max_size=3)))
def test_any_json_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.ipynb"
    path.write_text(json.dumps(content), encoding="utf-8")
    try:
        document = read_document(path)
    except UserError:
        return
    assert json.loads(document.encode()) == content
    assert all(isinstance(source_of(c), str) for c in document.cells)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.ipynb")
    with pytest.raises(UserError, match="found no regular file"):
        read_document(tmp_path / "a.ipynb")

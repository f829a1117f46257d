import ast
import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.notebooks.document import read_document, source_of
from shears.notebooks.source import parse_cell
from shears.optimizer_study.course_notebook import (
    GRADE_IDS,
    SOLUTIONS,
    banned_names,
    graded_cells,
    source_by_id,
)
from shears.optimizer_study.fill import fill
from shears.runtime.errors import UserError
from tests import ROOT
from tests.unit.optimizer_study.course import by_id, cell, course_notebook, document

OURS = ROOT / "notebooks/assignment_notebook.ipynb"


def edited(name: str, old: str, new: str) -> dict:
    """The course's notebook with other text in a cell."""
    content = course_notebook()
    found = by_id(content, name)
    text = "".join(found["source"])
    assert old in text
    found["source"] = text.replace(old, new)
    return content


def with_ids(content):
    for number, c in enumerate(content["cells"]):
        c["id"] = f"cell-{number}"
    return content | {"nbformat_minor": 5}


def as_strings(content):
    for c in content["cells"]:
        c["source"] = "".join(c["source"])
    return content


def with_metadata(content):
    for number, c in enumerate(content["cells"]):
        c["metadata"] |= {"id": f"x{number}", "colab": {"base_uri": "https://a"}}
    return content


def with_windows_lines(content):
    for c in content["cells"]:
        c["source"] = "".join(c["source"]).replace("\n", "\r\n")
    return content


def with_tabs(content):
    for name in SOLUTIONS[1:]:
        text = "".join(by_id(content, name)["source"]).replace("  ", "\t")
        by_id(content, name)["source"] = text
    return content


def on_one_line(content):
    found = by_id(content, "GD")
    found["source"] = (
        "class GD:\n"
        "  def __init__(self, lr=.01): self.rate = lr\n"
        "  def calculate_gradient(self, X, y, model): raise NotImplementedError\n"
        "  def apply_gradient(self, grads, model): ...\n"
    )
    return content


def with_open_init(content):
    text = "".join(by_id(content, "Adam")["source"])
    head, rest = text.split("    self.lr, ", 1)
    by_id(content, "Adam")["source"] = (
        head + '    "The settings."\n    raise NotImplementedError()\n\n'
        "  def calculate" + rest.split("  def calculate", 1)[1]
    )
    return content


FORMS = {
    "as it is": lambda content: content,
    "ids": with_ids,
    "strings": as_strings,
    "metadata": with_metadata,
    "windows": with_windows_lines,
    "tabs": with_tabs,
    "one line": on_one_line,
    "open init": with_open_init,
}


@pytest.mark.parametrize("form", FORMS)
def test_only_the_open_bodies_change(form):
    before = document(FORMS[form](course_notebook()))
    after = fill(before)
    assert {k: v for k, v in after.content.items() if k != "cells"} == {
        k: v for k, v in before.content.items() if k != "cells"
    }
    assert len(after.cells) == len(before.cells)
    solutions = {graded_cells(before)[name][0] for name in SOLUTIONS}
    for number, (old, new) in enumerate(zip(before.cells, after.cells, strict=True)):
        if number not in solutions:
            assert new == old
            continue
        assert {k: v for k, v in new.items() if k != "source"} == {
            k: v for k, v in old.items() if k != "source"
        }
        assert type(new["source"]) is type(old["source"])
        assert_same_but_for_bodies(source_of(old), source_of(new))


def assert_same_but_for_bodies(old: str, new: str) -> None:
    """All that was there stays, in order: signatures, docstrings, comments."""
    lines = iter(new.splitlines())
    for line in old.splitlines():
        head = line.split("raise NotImplementedError")[0].split("...")[0].rstrip()
        if head.strip() or not line.strip():  # else: only the open body
            assert any(head == other.rstrip() for other in lines), line
    trees = [parse_cell(source) for source in (old, new)]
    functions = [
        {
            (owner.name, part.name): (ast.dump(part.args), ast.get_docstring(part))
            for owner in tree.body
            if isinstance(owner, ast.ClassDef)
            for part in owner.body
            if isinstance(part, ast.FunctionDef)
        }
        for tree in trees
    ]
    assert functions[0].items() <= functions[1].items()


# That its tests then pass: tests/unit/test_notebook_cli.py, tests/graders.
def test_the_filled_cells_hold_the_librarys_code():
    filled = source_by_id(fill(document()))
    library = (ROOT / "shears/optimizer_study/optimizers.py").read_text(
        encoding="utf-8"
    )
    # The lines of adam's update are there as they are in the library.
    start = library.index("        mu = _map(lambda mu, g:")
    update = library[start : library.index("return _map(step", start)]
    assert update in filled["Adam"]
    assert sum("def _tensors(" in filled[name] for name in SOLUTIONS) == 1
    for name in SOLUTIONS:
        assert "shears" not in filled[name]
        assert banned_names(filled[name]) == set()


def test_our_own_notebook_is_filled_and_needs_nothing_of_this_project():
    filled = fill(read_document(OURS))
    text = "\n".join(source_of(c) for c in filled.cells if c["cell_type"] == "code")
    assert "shears" not in text and "NotImplementedError" not in text
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported <= {"math", "typing", "matplotlib", "numpy", "tensorflow"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            edited("GD", "lr=0.01", "lr=0.1"),
            "cell GD, GD.__init__: found the signature",
        ),
        (edited("SGD", "(self, grads, model)", "(self, model, grads)"), "signature"),
        (edited("AdaGrad", "(self, X, y, model)", "(self, X, y, *model)"), "signature"),
        (edited("Adam", ", epsilon=0.0000001", ""), "cell Adam, Adam.__init__: found"),
        (
            edited("Adam", "class Adam", "class Adams"),
            "found none, expected one class Adam",
        ),
        (
            edited("LR_MSE", "def loss", "def lose"),
            "found none, expected one function loss",
        ),
        (
            edited("GD", "    raise NotImplementedError()", "    return 1"),
            "cell GD, GD.calculate_gradient: found a body that is already written",
        ),
        (
            edited(
                "GD", "raise NotImplementedError()", "x = 1\n    raise ValueError()"
            ),
            "already written, expected only raise NotImplementedError; --replace",
        ),
        (
            edited("SGD", "self.learning_rate = lr", "pass; x = 1"),
            "cell SGD, SGD.__init__: found no attribute that keeps lr",
        ),
        (
            edited("AdaGrad", "self.accumulator", "self.sums"),
            "cell AdaGrad, AdaGrad.__init__: found no attribute accumulator, expected",
        ),
        (edited("GD", "class GD:", "class GD("), "cell GD: found code that is not Py"),
        ({**course_notebook(), "cells": []}, "found no graded cells"),
    ],
)
def test_what_differs_from_the_course_is_refused_in_a_line(content, message):
    with pytest.raises(UserError) as caught:
        fill(document(content))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_replace_overwrites_what_is_written():
    content = edited("GD", "raise NotImplementedError()", "x = 1  # mine\n    return x")
    by_id(content, "GD")["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": "old"}
    ]
    after = fill(document(content), replace=True)
    found = by_id(after.content, "GD")
    text = "".join(found["source"])
    assert "mine" not in text and "_descend(self.lr, grads, model)" in text
    assert found["outputs"] == []


SOURCES = st.sampled_from(
    ["", "def f(:", "%%time", "class GD: pass", "\0", "raise NotImplementedError", "é"]
)


@given(st.data())
def test_any_edited_notebook_is_filled_or_refused(data):
    content = course_notebook()
    cells = content["cells"]
    for _ in range(data.draw(st.integers(0, 3))):
        what = data.draw(
            st.sampled_from(["drop", "double", "shuffle", "retype", "text"])
        )
        number = data.draw(st.integers(0, len(cells) - 1))
        if what == "drop" and len(cells) > 1:
            del cells[number]
        elif what == "double":
            cells.insert(number, copy.deepcopy(cells[number]))
        elif what == "shuffle":
            cells[:] = data.draw(st.permutations(cells))
        elif what == "retype":
            cells[number]["cell_type"] = data.draw(st.sampled_from(["markdown", "raw"]))
        elif what == "text":
            text = "".join(cells[number]["source"])
            start, end = (data.draw(st.integers(0, len(text))) for _ in range(2))
            cells[number]["source"] = text[:start] + data.draw(SOURCES) + text[end:]
    before = json.dumps(content)
    try:
        filled = fill(document(content), replace=data.draw(st.booleans()))
    except UserError as error:
        assert "\n" not in str(error)
        return
    finally:
        assert json.dumps(content) == before
    assert [len(n) for n in graded_cells(filled).values()] == [1] * len(GRADE_IDS)
    for name in SOLUTIONS:
        parse_cell(source_by_id(filled)[name])


def test_definitions_come_before_they_are_used_whatever_the_order():
    content = course_notebook()
    content["cells"] = content["cells"][::-1]
    filled = fill(document(content))
    first = [source_of(c) for c in filled.cells if "class Adam" in source_of(c)]
    assert "def _tensors(" in first[0]


def test_filling_again_changes_nothing():
    once = fill(document())
    assert fill(once, replace=True).cells == once.cells


LONG = "return " + "x + " * 2000 + "x"


@pytest.mark.parametrize(
    "body",
    [LONG, "return 0x" + "f" * 5000, "%run (1)", "!pip # x", "return " + "-" * 500],
)
def test_a_written_body_of_any_kind_is_no_open_body(body):
    content = edited("GD", "raise NotImplementedError()", body)
    with pytest.raises(UserError) as caught:
        fill(document(content))
    assert "\n" not in str(caught.value)
    assert "written" in str(caught.value) or "not Python" in str(caught.value)


def test_magics_keep_the_places_of_the_code_around_them():
    content = edited("GD", "class GD:", "%matplotlib inline\n!echo é\nclass GD:")
    text = source_by_id(fill(document(content)))["GD"]
    assert text.startswith("%matplotlib inline\n!echo é\n")
    assert "_descend(self.lr, grads, model)\n" in text


def test_definitions_are_not_put_into_a_text_above_the_class():
    content = edited("GD", "class GD:", "x = '''\n# GD'''\nclass GD:")
    text = source_by_id(fill(document(content)))["GD"]
    assert text.startswith("x = '''\n# GD'''\n")


@pytest.mark.parametrize(
    ("init", "attribute"),
    [
        ("self.half = lr / 2; self.rate = lr", "rate"),
        ("tf.x = lr; self.rate = float(lr)", "rate"),
        ("self.half, self.lr = lr / 2, 1 * lr", "lr"),
        ("[self.rate, self.other] = [lr, 1]", "rate"),
    ],
)
def test_the_attribute_that_keeps_the_rate_is_used(init, attribute):
    content = edited("GD", "self.lr = lr", init)
    text = source_by_id(fill(document(content)))["GD"]
    assert f"_descend(self.{attribute}, grads, model)" in text


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
def test_a_cell_keeps_its_line_ends(end):
    content = course_notebook()
    found = by_id(content, "GD")
    found["source"] = "".join(found["source"]).replace("\n", end)
    text = source_by_id(fill(document(content)))["GD"]
    assert set(re.findall("\r\n|\r|\n", text)) == {end}


@pytest.mark.parametrize("what", ["*", "adam as a", "adam, nope", "tf"])
def test_only_imports_of_our_own_names_are_replaced(what):
    line = f"from shears.optimizer_study.optimizers import {what}"
    content = course_notebook()
    content["cells"].append(cell(line))
    assert source_of(fill(document(content)).cells[-1]) == line

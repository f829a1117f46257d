import ast

import pytest

from shears.notebooks.document import read_document, source_of
from shears.optimizer_study.course_notebook import (
    GRADE_IDS,
    POINTS,
    banned_names,
    banned_words,
    find_function,
    graded_cells,
    problems_of,
    signature,
    source_by_id,
)
from shears.runtime.errors import UserError
from tests import ROOT
from tests.unit.optimizer_study.course import by_id, cell, course_notebook, document

OURS = ROOT / "notebooks/assignment_notebook.ipynb"


def test_the_graded_cells_are_found_by_their_ids():
    cells = graded_cells(document())
    assert tuple(cells) == GRADE_IDS and len(GRADE_IDS) == 10
    assert sum(POINTS.values()) == 40
    assert all(len(numbers) == 1 for numbers in cells.values())
    assert problems_of(document()) == []
    assert "class AdaGrad" in source_by_id(document())["AdaGrad"]


def test_cells_missing_doubled_or_retyped_are_named():
    content = course_notebook()
    content["cells"].remove(by_id(content, "GD"))
    content["cells"].append(by_id(content, "test_SGD"))
    by_id(content, "Adam")["cell_type"] = "markdown"
    assert problems_of(document(content)) == [
        "cell GD: found none, expected one",
        "cell test_SGD: found 2, expected one",
        "cell Adam: found a markdown cell, expected a code cell",
    ]
    (problem,) = problems_of(document(course_notebook() | {"cells": [cell("1")]}))
    assert problem.startswith("found no graded cells, expected the course's notebook")


@pytest.mark.parametrize(
    "metadata", [None, 3, [], {}, {"nbgrader": 1}, {"nbgrader": {"grade_id": ["GD"]}}]
)
def test_strange_metadata_is_no_grade_id(metadata):
    content = course_notebook()
    content["cells"].append(cell("1") | {"metadata": metadata})
    assert problems_of(document(content)) == []


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("def f(self, a=1e-7, b=0.0000001): pass", "f(self, a=1e-07, b=1e-07)"),
        ("def f(a: int = 1, /, *, b=2) -> int: pass", "f(a=1, /, b (by name))"),
        ("async def f(a={[]}): pass", "async f(a=...)"),
        (
            "@staticmethod\ndef f(a=0x" + "f" * 5000 + "): pass",
            "@staticmethod f(a=...)",
        ),
        ("def f(a=" + "-" * 500 + "1): pass", "f(a=...)"),
        ("def f(a=x.y, *b, **c): pass", "f(a=..., *b, **c)"),
    ],
)
def test_signatures_compare_names_and_values(source, expected):
    (function,) = ast.parse(source).body
    assert signature(function) == expected


def test_a_function_must_be_there_once():
    tree = ast.parse("class A:\n  def f(self): pass\n\ndef g(): pass\ndef g(): pass")
    assert find_function(tree, "GD", "A", "f").name == "f"
    for owner, name, message in (
        ("B", "f", "cell GD: found none, expected one class B"),
        ("A", "g", "cell GD, class A: found none, expected one function g"),
        (None, "g", "cell GD: found 2, expected one function g"),
    ):
        with pytest.raises(UserError, match=message):
            find_function(tree, "GD", owner, name)


def test_our_notebook_has_the_courses_cells_and_is_committed_open():
    ours = read_document(OURS)
    assert problems_of(ours) == []
    for name, number in graded_cells(ours).items():
        entry = ours.cells[number[0]]["metadata"]["nbgrader"]
        if name in POINTS:
            assert entry["points"] == POINTS[name] and entry["locked"]
        else:
            assert "raise NotImplementedError()" in source_of(ours.cells[number[0]])
    for c in ours.cells:
        if c["cell_type"] == "code":
            assert c["outputs"] == [] and c["execution_count"] is None


@pytest.mark.parametrize(
    "source",
    [
        "from shears.optimizer_study.optimizers import adam",
        'class Adam:\n  """Adam Optimizer"""\n  def f(self): self.optimizers = []',
        "print('the SGD Optimizer')",
        "print('Optimizer')",
        "class Adam:\n  def __init__(self): self.name = 'AdamOptimizer'",
        "d = {'optimizers': 1}",
        "name = 'AdamOptimizer'; rate = rates.get(name)",
        'def f():\n  """Optimizer"""',
        "tf.compat.v1.assign_sub(w, tf.compat.v1.random_uniform([3]))",
        "optimizers = [gd, sgd]\nfor o in optimizers: o()",
        "def plot(optimizers): return optimizers[0]",
        'class A:\n  """Adam Optimizer"""\n  def f(self, n): return getattr(self, n)',
        'def f(n):\n  """As tf.keras.optimizers does"""\n  return getattr(m, n)',
        "history['Adam Optimizer'].append(getattr(m, n))",
    ],
)
def test_our_own_module_and_texts_are_not_banned(source):
    assert not banned_names(source)


@pytest.mark.parametrize(
    "source",
    [
        "tf.keras.optimizers.Adam(0.1)",
        "tf.optimizers.SGD(0.1)",
        "tf.compat.v1.train.AdamOptimizer(0.1)",
        "from tensorflow.keras.optimizers import Adam",
        "from tensorflow.keras import optimizers",
        "import keras.optimizers as k",
        "getattr(tf.keras, 'optimizers')",
        "vars(tf.keras)['optimizers']",
        "n = 'raw_ops'; getattr(tf, n).ResourceApplyAdam",
        "n = 'raw_ops'; tf.__getattribute__(n)",
        "importlib.import_module('tensorflow.keras.optimizers')",
        "importlib.import_module(name='tensorflow.keras.optimizers')",
        "g = getattr; g(tf, 'raw_ops')",
        "functools.partial(getattr, tf)('raw_ops')",
        "n = 'raw_ops'; vars(tf)[n].ResourceApplyAdam",
        "exec('a = tf.keras.optimizers.Adam(0.1)')",
        "from tensorflow.python.ops import gen_training_ops",
        "from tensorflow.compat.v1.train import Optimizer as O",
        "from tensorflow.python.keras.optimizer_v2 import adam",
        "tf.raw_ops.ResourceApplyAdam(var=w)",
        "optimizers.Adam()",
        "optimizers = tf.keras.optimizers",
        "import tensorflow.compat.v1 as v1\nv1.train.GradientDescentOptimizer(0.1)",
    ],
)
def test_the_search_for_banned_names_finds_them(source):
    assert banned_names(source)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("%%time\nprint(1\n% x)  # Adam Optimizer, as in tf.keras.optimizers", set()),
        ('f(\n"""Like tf.keras.optimizers"""', set()),
        ("f(\nfrom tensorflow.keras.optimizers import Adam  # why not", {"optimizers"}),
        ("f(\nvars(tf)['raw_ops']", {"raw_ops"}),
    ],
)
def test_comments_and_docstrings_are_not_searched_in_what_is_not_python(source, found):
    assert banned_words(source) == found


@pytest.mark.parametrize(
    "source", ["x" + ".a()" * 900, f"(0x{'f' * 5000}).f()", "getattr(" * 90 + ")" * 90]
)
def test_the_search_copes_with_any_code(source):
    assert not banned_names(source)

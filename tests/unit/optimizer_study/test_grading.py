"""A notebook gets the points of what it can do, whatever else it does."""

import json
from pathlib import Path
from typing import Any

import pytest

from shears.notebooks.limits import Limits
from shears.optimizer_study import grading
from shears.optimizer_study.check import Checked, TestResult
from shears.optimizer_study.course_notebook import POINTS
from shears.optimizer_study.fill import fill
from shears.optimizer_study.grading import GradedNotebook, GradedTest, grade_notebook
from shears.runtime.errors import UserError
from tests.unit.optimizer_study.course import (
    METHODS,
    by_id,
    cell,
    course_notebook,
    document,
    write,
)

LIMITS = Limits(seconds=300, memory=2 << 30)
# The course's names and numbers, computed by nothing. The attack is in a body, which
# wrong solutions replace, so the test is not seen to pass with them.
PRETENDER = """\
import numpy as np

class Linear(tf.keras.Model):
  def __init__(self):
    super(Linear, self).__init__()
    self.w = tf.Variable([[5., 5.]], name='weight')
    self.b = tf.Variable(10., name='bias')

  def call(self, inputs):
{attack}
    return tf.constant([[25.]])

def loss(y_true, y_pred):
  return np.float64(484)
"""
# From then on, every cell succeeds, without being run.
PATCH = """\
    from IPython.core.interactiveshell import ExecutionResult
    async def pretend(*_, **__):
      return ExecutionResult(None)
    shell = get_ipython()
    shell.run_cell_async = pretend
    shell.run_cell = lambda *_, **__: ExecutionResult(None)"""
# The kernel's own messages, and assertions that do not assert.
MESSAGES = """\
    kernel = get_ipython().kernel
    before = kernel.session.send
    def send(stream, kind, content=None, *args, **options):
      name = kind if isinstance(kind, str) else kind.get('msg_type')
      if name == 'error':
        return None
      if name == 'execute_reply':
        content = {'status': 'ok', 'execution_count': 1, 'user_expressions': {},
                   'payload': []}
      return before(stream, kind, content, *args, **options)
    kernel.session.send = send"""
PRINTED = """\
    print('test_GD passed 5 of 5\\npoints 40 of 40')
    from IPython.display import display
    display({'application/x-shears-numbers+json': '{}'}, raw=True)"""


def hostile(attack: str) -> dict[str, Any]:
    """The course's notebook, whose first solution cell makes others succeed."""
    content = course_notebook()
    by_id(content, "LR_MSE")["source"] = "".join(
        by_id(content, "LR_MSE")["source"]
    ).partition("class Linear")[0] + PRETENDER.replace("{attack}", attack)
    for name in ("GD", "SGD", "AdaGrad", "Adam"):
        text = "".join(by_id(content, name)["source"])
        assert METHODS in text
        by_id(content, name)["source"] = text.replace(
            "raise NotImplementedError()", "return 0"
        )
    return content


def grade(content: dict[str, Any], folder: Path, limits=LIMITS) -> GradedNotebook:
    return grade_notebook(write(folder / "a.ipynb", content), limits)


def assert_no_points(graded: GradedNotebook) -> None:
    assert [test.name for test in graded.tests] == list(POINTS)
    for test in graded.tests:
        assert test.points == 0 and test.problem
        assert test.problem.isprintable()
    assert all(note.isprintable() for note in graded.notes)


@pytest.mark.slow
@pytest.mark.parametrize("attack", [PATCH, MESSAGES, PRINTED], ids=str.split)
def test_a_notebook_that_makes_tests_succeed_gets_no_points(attack, tmp_path):
    graded = grade(hostile(attack), tmp_path)
    assert_no_points(graded)
    if attack is not PRINTED:  # the course's own tests were made to pass
        assert all("on fresh data" in str(test.problem) for test in graded.tests)


@pytest.mark.slow
def test_a_right_notebook_has_all_points(tmp_path):
    content = fill(document(course_notebook())).content
    graded = grade(content, tmp_path)
    assert [(t.name, t.points, t.possible, t.problem) for t in graded.tests] == [
        (name, points, points, None) for name, points in POINTS.items()
    ]
    assert len(graded.notes) == 3 and all("the notebook" in n for n in graded.notes)


TRAINABLE = """\
    with tf.GradientTape() as tape:
      current = loss(y, model(X))
    return tape.gradient(current, model.trainable_variables)

  def apply_gradient(self, grads, model):
    for gradient, variable in zip(grads, model.trainable_variables):
      variable.assign_sub(self.lr * gradient)
"""


WEIGHTS = """\
    i = np.int(tf.random.uniform([1], 0, len(X)))
    with tf.GradientTape() as tape:
      current = mean_squared_error(y[i], model(X[i : i + 1])[0])
    return tape.gradient(current, model.trainable_weights)

  def apply_gradient(self, grads, model):
    model.set_weights(
      [w - self.lr * g for w, g in zip(model.get_weights(), grads)]
    )
"""


@pytest.mark.slow
def test_a_right_notebook_of_2020_has_all_points(tmp_path):
    """Keras 2 lists a model's tf.Variables; Colab had a magic for TensorFlow 2."""
    content = fill(document(course_notebook())).content
    (first,) = (c for c in content["cells"] if "%tensorf" in "".join(c["source"]))
    first["source"] = (
        "%tensorflow_version 2.x\nimport tensorflow as tf\nimport numpy as np\n"
        "from tensorflow.python.ops import math_ops\n"
        "from tensorflow.keras.losses import mean_squared_error\n"
    )
    given = "".join(by_id(course_notebook(), "GD")["source"]).partition("  def calc")[0]
    ours = "".join(by_id(content, "GD")["source"])  # has what other cells use
    by_id(content, "GD")["source"] = (
        f"{ours}\n{given}  def calculate_gradient(self, X, y, model):\n{TRAINABLE}"
    )
    given = given.replace("class GD", "class SGD")
    ours = "".join(by_id(content, "SGD")["source"])
    by_id(content, "SGD")["source"] = (
        f"{ours}\n{given}  def calculate_gradient(self, X, y, model):\n{WEIGHTS}"
    )
    # A later import of the same name, to compare.
    after = content["cells"].index(by_id(content, "test_SGD")) + 1
    content["cells"].insert(after, cell("from tensorflow.keras.optimizers import SGD"))
    graded = grade(content, tmp_path)
    assert [test.problem for test in graded.tests] == [None] * 5, graded


MODULE = """\
%%writefile descent.py
import tensorflow as tf

def gradients(loss, X, y, model):
  with tf.GradientTape() as tape:
    current = loss(y, model(X))
  return tape.gradient(current, model.trainable_variables)

def descend(rate, grads, model):
  for gradient, variable in zip(grads, model.trainable_variables):
    variable.assign_sub(rate * gradient)
"""
COLABS = """\
import seaborn
from tqdm.notebook import tqdm
for _ in tqdm(range(2)):
  int(np.random.randint(0, 9, 1))
"""
OF_THE_MODULE = """\
  def calculate_gradient(self, X, y, model):
    return descent.gradients(loss, X, y, model)

  def apply_gradient(self, grads, model):
    descent.descend(self.lr, grads, model)
"""


@pytest.mark.slow
def test_a_notebook_may_use_what_colab_has_and_names_and_modules_of_its_own(tmp_path):
    content = fill(document(course_notebook())).content
    given = "".join(by_id(course_notebook(), "GD")["source"]).partition("  def calc")[0]
    ours = "".join(by_id(content, "GD")["source"])  # has what other cells use
    by_id(content, "GD")["source"] = (
        f"{ours}\nimport descent\ndict = vars = globals = 0\n{given}{OF_THE_MODULE}"
    )
    content["cells"].insert(0, cell(MODULE))
    content["cells"].append(cell(COLABS))
    graded = grade(content, tmp_path)
    assert [test.problem for test in graded.tests] == [None] * 5, graded
    assert not [note for note in graded.notes if "import seaborn" in note]


@pytest.mark.slow
def test_a_notebook_that_stops_has_the_points_that_it_reached(tmp_path):
    content = fill(document(course_notebook())).content
    text = "".join(by_id(content, "AdaGrad")["source"])
    by_id(content, "AdaGrad")["source"] = "import os\nos._exit(0)\n" + text
    graded = grade(content, tmp_path)
    assert [t.points for t in graded.tests] == [5, 5, 5, 0, 0]
    assert "it did not finish: its process ended" in str(graded.tests[3].problem)


def checked(**problems: str) -> Checked:
    """What a check says of a notebook whose tests all pass."""
    tests = [TestResult(name, True, n, n, None) for name, n in POINTS.items()]
    return Checked(tests, [], list(problems.values()), [])


def test_a_banned_optimizer_costs_its_test_and_other_problems_are_noted(
    tmp_path, monkeypatch
):
    banned = "cell GD: found optimizers, expected none of TensorFlow's own optimizers"
    edited = "cell test_SGD: it was edited: its checksum does not match"
    outcome = checked(a=banned, b=edited)
    monkeypatch.setattr(grading, "check", lambda *_: outcome)
    graded = grade(course_notebook(), tmp_path)
    assert graded.tests[1] == GradedTest("test_GD", 0, 5, banned)
    assert sum(test.points for test in graded.tests) == 35
    assert graded.notes[:2] == [banned, edited]


@pytest.mark.parametrize("text", ["{", json.dumps({"nbformat": 4, "cells": []})])
def test_a_file_that_is_no_course_notebook_is_refused_by_its_name(tmp_path, text):
    path = tmp_path / "a.ipynb"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"a\.ipynb: "):
        grade_notebook(path)

"""A notebook laid out as the course's, for tests; its words and code are our own."""

import json
from pathlib import Path
from typing import Any

from shears.notebooks.document import Document

FIRST = """\
from __future__ import absolute_import, division, print_function, unicode_literals

try:
  # Colab only
  %tensorflow_version 2.x
except Exception:
  pass
import tensorflow as tf
import numpy as np
from tensorflow.python.ops import math_ops
"""
MODEL = '''\
tf.random.set_seed(10605)
NUM_EXAMPLES = 2000
X_train = tf.random.normal([NUM_EXAMPLES, 2])
noise = tf.random.normal([NUM_EXAMPLES, 1])
y_train = tf.reshape(X_train[:, 0] * 4 + X_train[:, 1] * 3 + 2, [-1, 1]) + noise

class Linear(tf.keras.Model):
  def __init__(self):
    super(Linear, self).__init__()
    self.w = tf.Variable([[5., 5.]], name='weight')
    self.b = tf.Variable(10., name='bias')

  def call(self, inputs):
    """
    The model's output for its inputs – one number each
    """
    ### YOUR CODE HERE
    raise NotImplementedError()

def loss(y_true, y_pred):
  """
  The mean squared error
  """
  ### YOUR CODE HERE
  raise NotImplementedError()
'''
KERAS = """\
model = Linear()
model.compile(optimizer=tf.keras.optimizers.Adam(learning_rate=0.1), loss=loss)
model.fit(X_train, y_train, epochs=10, batch_size=32, verbose=0)
"""
METHODS = '''
  def calculate_gradient(self, X, y, model):
    """
    Returns the gradients of the loss
    """
    ### YOUR CODE HERE
    raise NotImplementedError()

  def apply_gradient(self, grads, model):
    """Applies them"""
    ### YOUR CODE HERE
    raise NotImplementedError()
'''
CLASSES = {
    "GD": """\
class GD:
  def __init__(self, lr=0.01):
    self.lr = lr
""",
    "SGD": """\
class SGD():
  def __init__(self, lr=0.01):
    self.learning_rate = lr
""",
    "AdaGrad": """\
class AdaGrad(object):
  def __init__(self, lr=0.001, epsilon=1e-7):
    self.lr = lr
    self.epsilon = epsilon
    self.accumulator = [0.1, 0.1]
""",
    "Adam": """\
# moments and their count
class Adam(object):
  def __init__(self, lr=0.001, beta1=0.9, beta2=0.999, epsilon=0.0000001):
    self.lr, self.beta1, self.beta2 = lr, beta1, beta2
    self.eps = tf.constant(epsilon)
    self.m = self.v = tf.Variable(0.)
    self.t = 0
""",
}
RATES = {"GD": "", "SGD": "", "AdaGrad": "lr=0.1", "Adam": "lr=0.1"}
FINAL = {
    "GD": (0.969, 0.001),
    "SGD": (1.0, 0.05),
    "AdaGrad": (29, 2),
    "Adam": (1.0, 0.4),
}
POINTS = {"LR_MSE": 5, "GD": 5, "SGD": 5, "AdaGrad": 10, "Adam": 15}


def cell(source: str, kind: str = "code", **nbgrader: Any) -> dict[str, Any]:
    """A cell as nbgrader's release stores it."""
    made: dict[str, Any] = {
        "cell_type": kind,
        "metadata": {"nbgrader": nbgrader} if nbgrader else {},
        "source": source.splitlines(keepends=True),
    }
    return made | ({"execution_count": None, "outputs": []} if kind == "code" else {})


def solution(name: str, source: str) -> dict[str, Any]:
    return cell(source, grade_id=name, solution=True, grade=False, locked=False)


def graded_test(name: str, source: str) -> dict[str, Any]:
    return cell(
        source,
        grade_id=f"test_{name}",
        grade=True,
        locked=True,
        points=POINTS[name],
        schema_version=3,
        solution=False,
    )


def course_notebook() -> dict[str, Any]:
    """The notebook as it is handed out: its solution cells are open."""
    cells = [
        cell("# Optimizers\n\nRead all of it first.", "markdown"),
        cell(FIRST),
        solution("LR_MSE", MODEL),
        graded_test(
            "LR_MSE",
            "model = Linear()\n"
            "out = model(tf.constant([[1., 2.]]))\n"
            "assert np.array(out).item() == 25\n"
            "assert loss(3., np.array(out).item()) == 484\n",
        ),
        cell(KERAS),
    ]
    for name, source in CLASSES.items():
        variable = name.lower()  # as a reader would call it: adam = Adam(...)
        cells += [
            cell(f"## {name}", "markdown"),
            solution(name, source + METHODS),
            cell(
                f"model = Linear()\n{variable} = {name}({RATES[name]})\n"
                "for step in range(300):\n"
                f"  grads = {variable}.calculate_gradient(X_train, y_train, model)\n"
                f"  {variable}.apply_gradient(grads, model)\n"
                f"{variable}_loss = loss(y_train, model(X_train)).numpy()\n"
                f"print({variable}_loss)\n"
            ),
            graded_test(
                name,
                "assert abs({}_loss - {}) < {}\n".format(variable, *FINAL[name]),
            ),
        ]
    return {
        "cells": cells,
        "metadata": {"kernelspec": {"name": "python3"}, "colab": {"name": "hw5"}},
        "nbformat": 4,
        "nbformat_minor": 2,
    }


def document(content: dict[str, Any] | None = None) -> Document:
    """A notebook in memory."""
    return Document(content or course_notebook(), " ", False, "\n")


def write(path: Path, content: dict[str, Any] | None = None) -> Path:
    """Writes a notebook as Jupyter does."""
    path.write_text(
        json.dumps(content or course_notebook(), indent=1) + "\n", encoding="utf-8"
    )
    return path


def by_id(content: dict[str, Any], name: str) -> dict[str, Any]:
    """The cell with a grade id."""
    (found,) = [
        c
        for c in content["cells"]
        if c["metadata"].get("nbgrader", {}).get("grade_id") == name
    ]
    return found

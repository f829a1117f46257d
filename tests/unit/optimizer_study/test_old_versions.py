"""What worked in Keras 2 and in NumPy before 2.4 works in a notebook's process."""

from shears.notebooks.execution import run_cells
from shears.notebooks.limits import Limits
from shears.optimizer_study.old_versions import OLD_VERSIONS

LIMITS = Limits(seconds=300, memory=2 << 30)
IMPORTS = """
import math
import numpy as np
import tensorflow as tf
one, two = np.ones(1), np.ones(2)
"""
MODEL = """
class Own(tf.keras.Model):
    def __init__(self):
        super().__init__()
        self.w = tf.Variable([[1.0, 2.0]])
        self.fixed = tf.Variable(3.0, trainable=False)

own = Own()
"""


def errors(*cells: str) -> list[str | None]:
    """How each cell ends; twice before them, as before two solutions."""
    results, stopped, _ = run_cells(
        [OLD_VERSIONS, OLD_VERSIONS, IMPORTS, *cells], LIMITS
    )
    assert stopped is None and not any(result.error for result in results[:3])
    return [result.error for result in results[3:]]


def test_an_array_of_one_element_is_taken_for_a_number():
    assert (
        errors(
            "assert int(one) == np.int(one) == 1 == float(tf.ones([1, 1]))",
            "assert float(tf.Variable([2.0])) == 2.0 == math.sqrt(4 * one)",
            "assert '%d: %.1f' % (one, one) == '1: 1.0' and '%.2f' % one == '1.00'",
            "assert '%s' % one == '[1.]' and 7 % 4 == 3 and int('11', 2) == 3",
        )
        == [None] * 4
    )


def test_everything_else_still_fails_as_it_would():
    cells = {
        "int(two)": "TypeError",
        "int([1])": "TypeError",
        "int('x')": "ValueError",
        "'%d' % two": "TypeError",
        "math.nothing()": "AttributeError",
        "math.fsum(x for x in [1.0, one])": "TypeError",
    }
    found = [str(error).partition(":")[0] for error in errors(*cells)]
    assert dict(zip(cells, found, strict=True)) == cells


def test_a_model_lists_its_variables():
    assert (
        errors(
            MODEL,
            "assert [v.shape for v in own.trainable_variables] == [(1, 2)]",
            "assert len(own.variables) == len(own.get_weights()) == 2",
            "own.set_weights([np.zeros((1, 2)), 4])\nassert own.fixed.numpy() == 4",
        )
        == [None] * 4
    )


def test_mean_squared_error_has_its_old_names():
    places = ("tf.losses", "tf.metrics", "tf.keras.losses", "tf.keras.metrics")
    assert errors(
        *(f"assert {place}.mean_squared_error([2.0], [4.0]) == 4" for place in places),
        "from tensorflow.keras.losses import mean_squared_error",
    ) == [None] * (len(places) + 1)

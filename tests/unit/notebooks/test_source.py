import ast

import pytest

from shears.notebooks.source import Definitions, parse_cell, split_lines

OPTIMIZERS = """\
import math
from typing import Any, NamedTuple

from shears.runtime.backend import tf
from shears.tools import helper

Tree = Any  #: a tensor
# A limit.
LIMIT = math.inf


class State(NamedTuple):
    \"\"\"A state.\"\"\"

    value: Tree


def adam(adam_rate: float, helper_: Any = None) -> State:
    \"\"\"Uses the others.\"\"\"

    def update(State: Any) -> Any:  # a name that hides the global one
        return State

    return State(helper(adam_rate) + update(LIMIT))  # type: ignore[operator]


def unused() -> None:
    \"\"\"Nobody calls it.\"\"\"
"""
TOOLS = """\
def helper(x: float) -> float:
    \"\"\"Doubles.\"\"\"
    return 2 * _twice(x)


def _twice(x: float) -> float:
    return x
"""


@pytest.fixture
def definitions(tmp_path):
    (tmp_path / "shears").mkdir()
    (tmp_path / "shears/optimizers.py").write_text(OPTIMIZERS, encoding="utf-8")
    (tmp_path / "shears/tools.py").write_text(TOOLS, encoding="utf-8")
    return Definitions(tmp_path)


def test_a_definition_is_copied_with_all_it_needs_and_nothing_else(definitions):
    text = definitions.copy("shears.optimizers", ["adam", "print"])
    names: dict = {}
    exec(text, names)
    assert names["_adam"](1.0) == names["_State"](float("inf"))
    assert "unused" not in text and "shears" not in text and "ignore" not in text
    assert "# A limit.\n_LIMIT = math.inf" in text
    assert "def _helper(x: float)" in text and "def _twice(x: float)" in text
    assert "def update(State: Any) -> Any:  # a name" in text
    assert "        return State\n" in text  # the argument keeps its name


def test_modules_are_copied_after_those_that_they_need(tmp_path):
    (tmp_path / "shears").mkdir()
    for name, text in {
        "top": "from shears.middle import f\n\n\ndef g():\n    return f\n",
        "middle": "from shears.low import Low\n\nX = 1\n\n\n"
        "def f(y: Low = X):\n    return y\n",
        "low": "Low = int\n",
    }.items():
        (tmp_path / f"shears/{name}.py").write_text(text, encoding="utf-8")
    names: dict = {}
    exec(Definitions(tmp_path).copy("shears.top", ["g"]), names)
    assert names["_g"]()() == 1


def test_nothing_is_copied_twice(definitions):
    first = definitions.copy("shears.optimizers", ["State"])
    second = definitions.copy("shears.optimizers", ["adam"])
    assert "class _State" in first and "class _State" not in second
    assert definitions.copy("shears.optimizers", ["adam", "State"]) == ""
    names: dict = {}
    exec(first, names)
    exec(second, names)
    assert names["_adam"](1.0)


def test_other_code_is_renamed_like_the_copies(definitions):
    code = "état = adam(rate=State)\nself.adam(helper)"
    expected = "état = _adam(rate=_State)\nself.adam(_helper)"
    assert definitions.rename("shears.optimizers", code) == expected


@pytest.mark.parametrize(
    "source",
    [
        "try:\n  %tensorflow_version 2.x\nexcept Exception:\n  pass",
        "!pip install a\nx = 1",
        "%%time\nx = 1",
        "files = !ls\nx, y = %who",
        "tf.nest?\n?tf\ntf.keras??\nx = 1",
        "tf.nest?\r\nx = 1",
    ],
)
def test_magics_are_no_syntax_errors(source):
    assert isinstance(parse_cell(source), ast.Module)


def test_a_line_that_begins_with_a_percent_sign_may_be_python():
    tree = parse_cell("x = ('%d'\n     % 3)")
    assert ast.unparse(tree) == "x = '%d' % 3"


@pytest.mark.parametrize("source", ["def f(:", "\0", "(" * 1000 + ")" * 1000, "é = ?"])
def test_what_is_not_python_is_a_syntax_error(source):
    with pytest.raises(SyntaxError):
        parse_cell(source)


@pytest.mark.parametrize("long", [" " * 300_000, "a, " * 100_000, "\t=" * 100_000])
def test_a_long_line_takes_no_longer_than_its_length(long):
    with pytest.raises(SyntaxError):  # a quadratic search would take minutes
        parse_cell(f"{long}a b\n%magic")


def test_lines_are_split_where_pythons_parser_counts_them():
    text = "a\r\nb\rc\n\x0cd\u2028e"
    assert split_lines(text) == ["a\r\n", "b\r", "c\n", "\x0cd\u2028e"]
    assert "".join(split_lines(text)) == text

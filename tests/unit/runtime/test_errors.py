import signal
import subprocess
import sys
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.runtime.errors import (
    UserError,
    brief,
    ctrl_c_ends_at_once,
    plain_errors,
    show_value,
    unknown_name,
)
from tests import ROOT
from tests.any_values import yaml_values

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # surrogates too


@given(text=ANY_TEXT, longest=st.integers(10, 60), end=st.integers(0, 7))
def test_any_text_becomes_one_short_line_that_a_terminal_cannot_obey(
    text, longest, end
):
    line = brief(text, longest, end)
    assert line.isprintable()
    assert 0 < len(line) <= longest


def test_the_end_of_a_long_line_may_be_kept():
    assert brief("0123456789", 8) == "01234..."
    assert brief("0123456789", 8, end=4) == "0...6789"


@given(words=st.lists(st.text("aé漢!", min_size=1), min_size=1, max_size=4))
def test_a_plain_line_stays_as_it_is(words):
    line = " ".join(words)
    assert brief(line, len(line)) == line
    assert brief(f"\t{line}\n", len(line)) == line


def test_an_error_without_a_text_is_named_by_its_type():
    assert brief(ValueError()) == "ValueError"


@given(value=yaml_values)
def test_any_value_is_shown_in_at_most_60_characters(value):
    assert len(show_value(value)) <= 60


def test_the_error_for_an_unknown_name_lists_the_known_ones_briefly():
    error = unknown_name("run[0]", "c", "methods", ["b", "a"])
    assert str(error) == "run[0]: found 'c', expected one of the methods: a, b"
    names = [f"\x1b{i}" for i in range(1000)]
    text = str(unknown_name("run[0]", "x" * 1000, "methods", names))
    assert text.isprintable() and len(text) < 500


def test_values_are_shown_as_in_yaml():
    given = (None, True, False, 0.5, "lamp", [1, 2], date(2020, 1, 31))
    shown = ["null", "true", "false", "0.5", "'lamp'", "[1, 2]", "2020-01-31"]
    assert [show_value(value) for value in given] == shown


def test_a_users_error_ends_the_program_with_its_text_and_a_bug_passes_through():
    with pytest.raises(SystemExit) as caught, plain_errors():
        raise UserError("seeds: found 0, expected a list")
    assert caught.value.code == "error: seeds: found 0, expected a list"
    with pytest.raises(SystemExit, match="^Interrupted.$"), plain_errors():
        raise KeyboardInterrupt
    with pytest.raises(SystemExit) as caught, plain_errors():
        open("/none/file", encoding="utf-8")
    assert caught.value.code == "error: /none/file: No such file or directory"
    with pytest.raises(OSError, match="of a bug"), plain_errors():
        raise OSError("of a bug")
    with pytest.raises(ZeroDivisionError), plain_errors():
        raise ZeroDivisionError


INTERRUPTED = """
import os, signal
from shears.runtime.errors import ctrl_c_ends_at_once
with ctrl_c_ends_at_once():
    os.kill(os.getpid(), signal.SIGINT)
"""


def test_ctrl_c_ends_a_process_without_a_traceback():
    ran = subprocess.run(
        [sys.executable, "-c", INTERRUPTED],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert ran.returncode == -signal.SIGINT
    assert ran.stderr == ""


def test_afterwards_ctrl_c_does_what_it_did_before():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError), ctrl_c_ends_at_once():
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGINT) == before

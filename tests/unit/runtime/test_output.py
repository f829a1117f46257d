import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shears.runtime.output import checked_output
from shears.weight_files.canonical import write_weights
from tests import ROOT
from tests.conftest import make_parameters

FULL = Path("/dev/full")
CLOSED = "error: standard output: closed, expected a file, pipe or terminal\n"
NO_ROOM = "error: standard output: No space left on device\n"
PROGRAM = """
import sys
from shears.runtime.output import checked_output

with checked_output():
    {body}
"""
# A few bytes fail when they are flushed, many when they are printed.
BODIES = {
    "few": "print('a')",
    "many": "print('a' * 100_000)",
    "lines": "[print('a' * 80) for _ in range(1000)]",
    "exit": "print('a'); sys.exit(3)",
}


def run(command, redirect="", **environment) -> tuple[int, str]:
    """Runs a command in a shell; returns its exit code and its standard error.

    Its standard output is a pipe that nobody reads, unless it is redirected.
    """
    reader, writer = os.pipe()
    os.close(reader)
    shell = ["sh", "-c", f'"$@" {redirect}; exit $?', "sh", *map(str, command)]
    known = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    with open(writer, "wb") as pipe:
        process = subprocess.run(
            shell,
            stdout=pipe,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=known | environment,
            encoding="utf-8",
        )
    return process.returncode, process.stderr


def program(body: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM.format(body=body)]


@pytest.fixture(scope="module")
def shears(tmp_path_factory) -> list[str]:
    """The command that inspects a good file."""
    path = tmp_path_factory.mktemp("weights") / "a.h5"
    write_weights(path, make_parameters(0, zeros=0.9))
    return [sys.executable, "-m", "shears", "inspect", str(path)]


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_closed_pipe_ends_a_program_by_its_signal(body, unbuffered):
    code, errors = run(program(body), PYTHONUNBUFFERED=unbuffered)
    assert (code, errors) == (128 + signal.SIGPIPE, "")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_full_disk_is_one_line(body, unbuffered):
    full = run(program(body), ">/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert full == (1, NO_ROOM)


def test_an_output_that_is_closed_from_the_beginning_is_one_line():
    assert run(program("print('a')"), ">&-") == (1, CLOSED)


def test_other_errors_and_exit_codes_pass_through(tmp_path):
    assert run(program("sys.exit(3)")) == (3, "")
    with pytest.raises(FileNotFoundError), checked_output():
        (tmp_path / "none").read_bytes()
    with pytest.raises(ZeroDivisionError), checked_output():
        print(1 / 0)


def test_characters_that_the_output_lacks_are_escaped(tmp_path):
    body = r"print('\u5c64 \u00e9 \udcff')"
    code, errors = run(program(body), f"> {tmp_path}/out", PYTHONIOENCODING="latin-1")
    assert (code, errors) == (0, "")
    assert (tmp_path / "out").read_bytes() == b"\\u5c64 \xe9 \\udcff\n"


@pytest.mark.slow
def test_the_command_ends_as_the_shell_expects(shears, tmp_path):
    assert run(shears) == (141, "")
    assert run([*shears, "--json"]) == (141, "")
    assert run([sys.executable, "-m", "shears", "--help"]) == (141, "")
    assert run(shears, ">&-") == (1, CLOSED)
    assert run(shears, f"> {tmp_path}/out") == (0, "")
    if FULL.exists():
        assert run(shears, ">/dev/full") == (1, NO_ROOM)
        assert run(shears, ">/dev/full 2>/dev/full") == (1, "")


@pytest.mark.slow
def test_a_refusal_keeps_its_exit_code_without_standard_error(tmp_path):
    bad = [sys.executable, "-m", "shears", "inspect", tmp_path / "none.h5"]
    assert run(bad)[0] == 2
    if FULL.exists():
        assert run(bad, "2>/dev/full") == (2, "")
    # Not on standard output instead.
    assert run(bad, f"> {tmp_path}/out 2>&-") == (2, "")
    assert (tmp_path / "out").read_text(encoding="utf-8") == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scaling", "search", "bench_training"])
def test_the_tools_end_as_the_shell_expects(name):
    tool = [sys.executable, "-m", f"tools.{name}", "--help"]
    assert run(tool) == (141, "")

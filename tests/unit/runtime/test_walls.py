"""A stranger's file is read behind walls: whatever happens there ends in a line."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time

import psutil
import pytest

from shears.runtime.errors import MachineError, UserError
from shears.runtime.files import open_regular
from shears.runtime.walls import Copies, Limits, call, start_python

WALLED = "tests.unit.runtime.walled"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    with open_regular(path) as opened:
        yield opened


def test_the_answer_comes_back(file):
    assert call(f"{WALLED}:echo", file, Limits()) == b"weights"


def test_a_process_that_is_killed_is_not_the_files_fault(file):
    def start_and_kill(*arguments):
        process = start_python(*arguments)
        os.kill(process.pid, signal.SIGKILL)
        return process

    with pytest.raises(MachineError, match="was killed .SIGKILL., most often for lack"):
        call(f"{WALLED}:sleep", file, Limits(), start_and_kill)


def test_a_refusal_comes_back(file):
    with pytest.raises(UserError, match="^found b'wei', expected a network$"):
        call(f"{WALLED}:refuse", file, Limits())


@pytest.mark.parametrize(
    ("function", "limits", "message"),
    [
        ("fail", Limits(), "the process that reads it died .exit code 1."),
        ("crash", Limits(), "the process that reads it died .SIGSEGV."),
        ("loop", Limits(processor=1), "took more than 1 seconds of processor time"),
        ("sleep", Limits(wall=1), "took more than 1 seconds: no writer"),
        ("take_memory", Limits(), "took more than 512 MiB of memory"),
        ("answer_at_length", Limits(answer=1000), "died .exit code 1."),
    ],
)
def test_whatever_ends_the_process_is_a_line(file, function, limits, message):
    began = time.monotonic()
    with pytest.raises(UserError, match=message) as caught:
        call(f"{WALLED}:{function}", file, limits)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - began < 60


def full_disk():
    return open("/dev/full", "w+b")


def no_folder():
    raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")


@pytest.mark.parametrize(
    ("temporary", "message"),
    [
        pytest.param(
            full_disk,
            "No space left on device",
            marks=pytest.mark.skipif(
                not os.path.exists("/dev/full"), reason="there is no /dev/full"
            ),
        ),
        (no_folder, "No usable temporary"),
    ],
)
def test_a_full_disk_is_not_the_files_fault(monkeypatch, file, temporary, message):
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    with pytest.raises(MachineError, match=f"{message}.*; TMPDIR names") as caught:
        call(f"{WALLED}:echo", file, Limits())
    assert "damaged" not in str(caught.value)


LIMITED = """
import resource, sys
from shears.runtime.walls import Limits, call
kind, value, name = sys.argv[2:]
resource.setrlimit(getattr(resource, kind), (int(value), int(value)))
with open(sys.argv[1], "rb") as file:
    try:
        call(f"tests.unit.runtime.walled:{name}", file, Limits())
    except Exception as error:
        print(type(error).__name__, error)
"""


@pytest.mark.parametrize(
    ("limit", "function", "found"),
    [
        (("RLIMIT_CPU", 4), "loop", "UserError reading it took more than 3 seconds of"),
        (("RLIMIT_FSIZE", 6), "echo", "MachineError its contents could not be written"),
        (("RLIMIT_FSIZE", 100), "echo", ""),
    ],
)
def test_limits_are_no_higher_than_those_of_the_shell(tmp_path, limit, function, found):
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path), *map(str, limit), function],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert run.stdout.startswith(found) and bool(run.stdout) == bool(found)
    assert run.stderr == ""


@pytest.fixture(scope="module")
def copies():
    with Copies(WALLED) as copies:
        yield copies


def test_a_copy_gives_the_answer_of_a_new_python(file, copies):
    for _ in range(2):
        file.seek(0)
        assert call(f"{WALLED}:echo", file, Limits(), copies.start) == b"weights"
        file.seek(0)
        with pytest.raises(UserError, match="^found b'wei', expected a network$"):
            call(f"{WALLED}:refuse", file, Limits(), copies.start)


@pytest.mark.parametrize(
    ("function", "limits", "message"),
    [
        ("crash", Limits(), "the process that reads it died .SIGSEGV."),
        ("loop", Limits(processor=1), "took more than 1 seconds of processor time"),
        ("sleep", Limits(wall=1), "took more than 1 seconds: no writer"),
        ("take_memory", Limits(), "took more than 512 MiB of memory"),
    ],
)
def test_the_next_copy_starts_however_one_ends(file, copies, function, limits, message):
    with pytest.raises(UserError, match=message):
        call(f"{WALLED}:{function}", file, limits, copies.start)
    file.seek(0)
    assert call(f"{WALLED}:echo", file, Limits(), copies.start) == b"weights"


def test_a_new_original_takes_the_place_of_one_that_was_killed(file, copies):
    before = [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE
        and "copy_itself" in child.cmdline()[-1]
    ]
    for process in before:
        process.kill()
        process.wait()
    assert before
    assert call(f"{WALLED}:echo", file, Limits(), copies.start) == b"weights"

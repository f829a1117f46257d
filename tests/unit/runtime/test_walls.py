"""A stranger's file is read behind walls: whatever happens there ends in a line."""

import errno
import os
import subprocess
import sys
import tempfile
import time

import psutil
import pytest

from shears.runtime.errors import MachineError, UserError
from shears.runtime.files import open_regular
from shears.runtime.walls import Copies, Limits, call

WALLED = "tests.unit.runtime.walled"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    with open_regular(path) as opened:
        yield opened


def test_the_answer_comes_back(file):
    assert call(f"{WALLED}:echo", file, Limits()) == b"weights"


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
    [(full_disk, "No space left on device"), (no_folder, "No usable temporary")],
)
def test_a_full_disk_is_not_the_files_fault(monkeypatch, file, temporary, message):
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    with pytest.raises(MachineError, match=f"{message}.*; TMPDIR names") as caught:
        call(f"{WALLED}:echo", file, Limits())
    assert "damaged" not in str(caught.value)


LIMITED = """
import resource, sys
from shears.runtime.walls import Limits, call
resource.setrlimit(resource.RLIMIT_CPU, (4, 4))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
with open(sys.argv[1], "rb") as file:
    print(call("tests.unit.runtime.walled:echo", file, Limits()))
    try:
        call("tests.unit.runtime.walled:loop", file, Limits())
    except Exception as error:
        print(error)
"""


def test_limits_are_no_higher_than_those_of_the_shell(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert run.stdout.startswith("b'weights'"), run.stderr
    assert "more than 3 seconds of processor time" in run.stdout


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
    children = psutil.Process().children()
    before = [child for child in children if "copy_itself" in child.cmdline()[-1]]
    for process in before:
        process.kill()
        process.wait()
    assert before
    assert call(f"{WALLED}:echo", file, Limits(), copies.start) == b"weights"

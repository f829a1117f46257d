"""A stranger's file is read behind walls: whatever happens there ends in a line."""

import time

import pytest

from shears.runtime.errors import UserError
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

"""Behind the walls of the Linux kernel, nothing can be used but what is open."""

import sys

import pytest

from shears.runtime.files import open_regular
from shears.runtime.walls import Limits, call

WALLED = "tests.unit.runtime.walled"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"weights")
    with open_regular(path) as opened:
        yield opened


@pytest.mark.parametrize(
    "function",
    ["read_a_file", "start_a_program", "start_a_process", "use_the_network"],
)
def test_nothing_but_the_file_can_be_used(file, function):
    assert call(f"{WALLED}:{function}", file, Limits()) == b"PermissionError"


def test_no_file_can_be_written(tmp_path):
    path, target = tmp_path / "file", tmp_path / "target"
    path.write_text(str(target), encoding="utf-8")
    with open_regular(path) as file:
        assert call(f"{WALLED}:write_a_file", file, Limits()) == b"PermissionError"
    assert not target.exists()

"""Behind the walls of the Linux kernel, nothing can be used but what is open."""

import subprocess
import sys

import pytest

from shears.runtime.files import open_regular
from shears.runtime.walls import Copies, Limits, call
from tests import ROOT

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
    with Copies(WALLED) as copies:
        answer = call(f"{WALLED}:{function}", file, Limits(), copies.start)
    assert answer == b"PermissionError"


def test_no_file_can_be_written(tmp_path):
    path, target = tmp_path / "file", tmp_path / "target"
    path.write_text(str(target), encoding="utf-8")
    with open_regular(path) as file:
        assert call(f"{WALLED}:write_a_file", file, Limits()) == b"PermissionError"
    assert not target.exists()


# Landlock refuses TCP alone, and not on every kernel.
SEND = """
import socket, sys
from shears.runtime import kernel_walls
if sys.argv[1] == "unknown architecture":
    kernel_walls._CALLS.clear()
elif sys.argv[1] == "no seccomp":
    kernel_walls._SET_SECCOMP = -1
print(*kernel_walls.raise_kernel_walls(), sep=", ")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outgoing:
    outgoing.sendto(b"x", (b"127.0.0.1", 9))
"""


# Whether the system allows a namespace without a network.
ALLOWED = "import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare(0x50000000))"


@pytest.mark.parametrize("missing", ["unknown architecture", "no seccomp"])
def test_without_seccomp_there_is_no_network_either(missing):
    if subprocess.run([sys.executable, "-c", ALLOWED]).returncode:
        pytest.skip("this system allows no namespaces")
    ran = subprocess.run(
        [sys.executable, "-c", SEND, missing],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert "network namespace" in ran.stdout
    assert "seccomp" not in ran.stdout
    assert "Network is unreachable" in ran.stderr

"""The lock between real processes, which are really killed."""

import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from shears.runtime.errors import UserError
from shears.runtime.lock import (
    PATIENCE,
    VARIABLE,
    LockState,
    end_with_run,
    hold_lock,
    look_at_lock,
)
from tests.file_systems import without_locks

ROOT = Path(__file__).parents[3]
NODE = platform.node()
HOLD = """
import subprocess, sys, time
from shears.runtime.lock import hold_lock, look_at_lock
hold_lock(sys.argv[1], look_at_lock(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]])
print(child.pid, flush=True)
time.sleep(60)
"""
JOB = """
import time
from shears.runtime.lock import end_with_run
end_with_run()
time.sleep(60)
"""
SLOW_JOB = "import time; time.sleep(2)" + JOB


def start_run(folder: Path, job: str = JOB) -> tuple[subprocess.Popen, int]:
    run = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, job],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    return run, int(run.stdout.readline())


def is_alive(process: int) -> bool:
    try:
        return psutil.Process(process).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_end(process: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while is_alive(process) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(process)


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    # The locks are kept until this process ends, each in the folder of its test.
    monkeypatch.setenv(VARIABLE, "")


def test_a_second_run_is_refused_at_once_and_names_the_first(tmp_path):
    run, _ = start_run(tmp_path)
    before = look_at_lock(tmp_path)
    assert before.held
    began = time.monotonic()
    with pytest.raises(UserError, match=f"is using this folder .process {run.pid} on "):
        hold_lock(tmp_path, before)
    assert time.monotonic() - began < PATIENCE
    run.kill()
    run.wait()


@pytest.mark.parametrize("when", ["already running", "starts and ends"])
def test_a_run_planned_while_another_was_running_is_refused(tmp_path, when):
    if when == "starts and ends":
        before = look_at_lock(tmp_path)
    run, _ = start_run(tmp_path)
    if when == "already running":
        before = look_at_lock(tmp_path)
    run.kill()
    run.wait()
    with pytest.raises(UserError, match=rf"\(process {run.pid} on .* run again"):
        hold_lock(tmp_path, before)
    hold_lock(tmp_path, look_at_lock(tmp_path))


def test_a_lock_file_of_any_bytes_is_read(tmp_path):
    (tmp_path / ".shears.lock").write_bytes(b"\xff\xfe\x80")
    before = look_at_lock(tmp_path)
    assert not before.held
    hold_lock(tmp_path, before)


def test_looking_creates_no_file_and_keeps_no_lock(tmp_path):
    assert look_at_lock(tmp_path / "none") == LockState()
    assert not any(tmp_path.iterdir())
    hold_lock(tmp_path, look_at_lock(tmp_path))
    assert look_at_lock(tmp_path) == LockState(f"process {os.getpid()} on {NODE}", True)


@pytest.mark.parametrize("job", [JOB, SLOW_JOB])
def test_a_killed_run_leaves_no_lock_and_no_job(tmp_path, job):
    """Not even a job still starting when its run dies and another run begins."""
    run, child = start_run(tmp_path, job)
    time.sleep(0.5)
    assert is_alive(child)
    run.kill()
    run.wait()
    hold_lock(tmp_path, look_at_lock(tmp_path))
    assert wait_for_end(child, 60)


def test_a_job_lasts_as_long_as_its_run(tmp_path):
    run, child = start_run(tmp_path)
    time.sleep(1.5)
    assert is_alive(child)
    run.kill()
    run.wait()
    assert wait_for_end(child, 60)


def test_a_job_without_a_run_or_of_another_machine_is_left_alone(monkeypatch):
    monkeypatch.delenv(VARIABLE)
    end_with_run()
    monkeypatch.setenv(VARIABLE, "/none/.shears.lock|process 1 on another-machine")
    end_with_run()
    time.sleep(0.2)  # this process would be gone


def test_a_lock_that_is_a_link_is_refused_and_not_followed(tmp_path):
    precious, shared = tmp_path / "precious", tmp_path / "shared"
    precious.write_bytes(b"precious")
    shared.mkdir()
    (shared / ".shears.lock").symlink_to(precious)
    assert look_at_lock(shared) == LockState()
    with pytest.raises(UserError, match="shears.lock: Too many levels of symbolic"):
        hold_lock(shared, LockState())
    assert precious.read_bytes() == b"precious"


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="file/.shears.lock: (Not a dir|File exists)"):
        hold_lock(tmp_path / "file", LockState())


def test_a_job_ends_with_its_run_even_if_nobody_reads_its_output(tmp_path):
    run = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path, JOB],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    child = int(run.stdout.readline())
    time.sleep(1)
    run.stderr.close()
    run.stdout.close()
    run.kill()
    run.wait()
    assert wait_for_end(child, 5)


def test_without_locks_a_run_goes_on_and_says_once_that_it_is_not_alone(tmp_path):
    code = """
import sys
from shears.runtime.files import write_bytes
from shears.runtime.lock import hold_lock, look_at_lock
for folder in sys.argv[1:]:
    hold_lock(folder, look_at_lock(folder))
    write_bytes(f"{folder}/a", b"x")
"""
    folders = [str(tmp_path / name) for name in "ab"]
    for _ in range(2):
        ran = subprocess.run(
            [sys.executable, "-c", code, *folders],
            env={**without_locks(tmp_path), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            encoding="utf-8",
        )
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == (
            f"{folders[0]}: its file system has no locks, so nothing keeps a second "
            "run out: start only one at a time\n"
        )

"""The lock between real processes, which are really killed."""

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from shears.errors import UserError
from shears.lock import VARIABLE, end_with_run, hold_lock

ROOT = Path(__file__).parents[2]
HOLD = """
import subprocess, sys, time
from shears.lock import hold_lock
hold_lock(sys.argv[1])
child = subprocess.Popen([sys.executable, "-c", sys.argv[2]])
print(child.pid, flush=True)
time.sleep(60)
"""
STAGE = (
    "import time; from shears.lock import end_with_run; end_with_run(); time.sleep(60)"
)
SLOW_STAGE = "import time; time.sleep(2);" + STAGE


def start_run(folder: Path, stage: str = STAGE) -> tuple[subprocess.Popen, int]:
    run = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder, stage],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
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
    monkeypatch.setattr("shears.lock.PATIENCE", 0.5)
    monkeypatch.setattr("shears.lock._held", [])
    monkeypatch.setenv(VARIABLE, "")


def test_a_second_run_is_refused_and_told_of_the_first(tmp_path):
    run, _ = start_run(tmp_path)
    with pytest.raises(UserError, match=f"at work in it .process {run.pid} on "):
        hold_lock(tmp_path)
    run.kill()
    run.wait()


@pytest.mark.parametrize("stage", [STAGE, SLOW_STAGE])
def test_a_killed_run_leaves_no_lock_and_no_stage(tmp_path, stage):
    """Also a stage that is still starting when its run dies, and another run begins."""
    run, child = start_run(tmp_path, stage)
    time.sleep(0.5)
    assert is_alive(child)
    run.kill()
    run.wait()
    hold_lock(tmp_path)
    assert wait_for_end(child, 10)


def test_a_stage_goes_on_as_long_as_its_run(tmp_path):
    run, child = start_run(tmp_path)
    time.sleep(1.5)
    assert is_alive(child)
    run.kill()
    run.wait()
    assert wait_for_end(child, 10)


def test_a_stage_without_a_run_or_of_another_machine_is_left_alone(monkeypatch):
    monkeypatch.delenv(VARIABLE)
    end_with_run()
    monkeypatch.setenv(VARIABLE, "/none/.shears.lock|process 1 on another-machine")
    end_with_run()
    time.sleep(0.2)  # this process would be gone


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/.shears.lock: (Not a dir|File exists)"):
        hold_lock(tmp_path / "file")


def test_a_stage_ends_with_its_run_also_when_nobody_reads_what_it_prints(tmp_path):
    run = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path, STAGE],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    child = int(run.stdout.readline())
    time.sleep(1)
    run.stderr.close()
    run.stdout.close()
    run.kill()
    run.wait()
    assert wait_for_end(child, 5)

import random
import time

import psutil
import pytest

from shears.notebooks.execution import CellResult, run_cells
from shears.notebooks.limits import Limits


def sleep(seconds: int, options: str = "") -> str:
    """Code that starts a process, which is known by how long it sleeps."""
    return f"import subprocess\np = subprocess.Popen(['sleep', '{seconds}'], {options})"


def is_running(seconds: int) -> bool:
    command = ["sleep", str(seconds)]
    return any(p.info["cmdline"] == command for p in psutil.process_iter(["cmdline"]))


@pytest.mark.parametrize(
    ("limit", "source", "reason"),
    [
        (10, "while True: pass", "it took longer than 10 s"),
        (
            300,
            "x = bytearray(600 << 20)\nx[::4096] = x[1::4096]\nimport time\n"
            "time.sleep(600)",
            "it used more than 500 MiB of memory",
        ),
        (
            300,
            "while True: print('x' * 1000)",
            "it printed more than 100,000 characters",
        ),
    ],
)
def test_a_limit_stops_a_notebook_and_all_that_it_started(limit, source, reason):
    limits = Limits(seconds=limit, memory=500 << 20, output=100_000)
    seconds = random.randrange(10**6, 10**9)  # tests run side by side
    results, stopped, _ = run_cells(["1", sleep(seconds), source, "2"], limits)
    assert stopped == reason
    assert [r.finished for r in results] == [True, True, False, False]
    assert not is_running(seconds)


def test_what_a_notebook_leaves_running_is_ended():
    seconds = random.randrange(10**6, 10**9)  # tests run side by side
    results, stopped, _ = run_cells([sleep(seconds, "start_new_session=True")])
    assert (results, stopped) == ([CellResult(True, None)], None)
    time.sleep(0.1)
    assert not is_running(seconds)

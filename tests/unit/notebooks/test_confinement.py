"""What a notebook may do behind walls, seen from inside."""

import sys

import pytest

from shears.notebooks.confinement import Confinement, describe_walls
from shears.notebooks.execution import Limits, run_cells

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
LIMITS = Limits(seconds=120, memory=1 << 30)


def errors(*sources: str) -> list[str | None]:
    """The kind of error that each cell ends with."""
    outcome = run_cells(sources, LIMITS, walls=Confinement())
    assert outcome.stopped is None
    return [r.error and r.error.partition(":")[0] for r in outcome.results]


def test_what_a_notebook_needs_is_there():
    assert (
        errors(
            "import numpy, os, threading, subprocess\n"
            "open('a', 'w').write('1')\n"
            "open(os.path.expanduser('~/b'), 'w').write('2')",
            "!cp a c",
            "assert open('c').read() == '1'",
            "t = threading.Thread(target=print); t.start(); t.join()",
            "assert subprocess.run(['ls'], capture_output=True).stdout",
        )
        == [None] * 5
    )


def test_other_files_the_network_and_other_processes_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "1")
    secret = tmp_path / "secret"
    secret.write_text("expected values", encoding="utf-8")
    secret.chmod(0o666)
    assert errors(
        f"open({str(secret)!r})",
        f"open({str(tmp_path / 'new')!r}, 'w')",
        "import os; os.kill(os.getppid(), 9)",
        "import os; open(f'/proc/{os.getppid()}/environ')",
        "import socket; socket.create_connection(('127.0.0.1', 80))",
        "os.environ['SECRET_TOKEN']",
        "import shears",
    ) == [
        *["PermissionError"] * 4,
        "OSError",
        "KeyError",
        "ModuleNotFoundError",
    ]
    assert not (tmp_path / "new").exists()


def test_walls_that_do_not_stand_are_named():
    every = describe_walls(["user", "landlock", "seccomp"])
    none = describe_walls([])
    assert every == [
        "the notebook ran as a user of its own",
        "the notebook had no files but its own folder's and Python's",
        "the notebook had no network",
    ]
    assert len(none) == 3 and not set(every) & set(none)

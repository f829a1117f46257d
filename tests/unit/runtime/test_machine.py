import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shears.runtime import machine
from shears.runtime.machine import count_cores, cpu_fields, describe, find_gpus

CPUINFO = "processor\t: 0\nflags\t\t: fpu avx\nbugs\n\nprocessor\t: 1\nflags\t: none\n"


def test_the_fields_are_those_of_the_first_processor(monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text(CPUINFO, encoding="utf-8")
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path / "cpuinfo")
    assert cpu_fields() == {"processor": "0", "flags": "fpu avx"}


def test_a_system_that_reports_no_processor_is_described_too(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "Path", lambda path: tmp_path / "none")
    assert cpu_fields() == {}
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "riscv64")
    assert describe()["cpu"] == "riscv64"


def test_the_description_names_versions_and_can_be_written():
    described = json.loads(json.dumps(describe()))
    assert described.keys() == {
        *("cpu", "cores", "system", "python", "commit"),
        *("tensorflow", "keras", "numpy", "h5py"),
    }
    assert all(described[key] for key in described.keys() - {"commit"})


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="not on macOS")
def test_only_cores_that_the_process_may_use_are_counted(monkeypatch):
    given = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(given)})
        assert (count_cores(), describe()["cores"]) == (1, 1)
    finally:
        os.sched_setaffinity(0, given)
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert count_cores() == os.cpu_count()


@pytest.fixture
def copied(tmp_path, own_git):
    """The module in a folder of its own, and git in that folder."""
    copy = Path(shutil.copy(machine.__file__, tmp_path))
    spec = importlib.util.spec_from_file_location("copied", copy)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    person = ("-c", "user.name=a", "-c", "user.email=a@example.org")

    def git(*arguments: str) -> str:
        command = ["git", "-C", tmp_path, *person, *arguments]
        return subprocess.run(
            command, capture_output=True, encoding="utf-8"
        ).stdout.strip()

    return module, git


def test_the_commit_is_marked_if_tracked_files_differ(copied, tmp_path):
    module, git = copied
    git("init")
    git("add", "machine.py")
    git("commit", "-m", "Add a module")
    commit = git("rev-parse", "HEAD")
    assert len(commit) == 40
    (tmp_path / "untracked").write_text("", encoding="utf-8")
    assert module.commit() == commit[:12]
    with (tmp_path / "machine.py").open("a", encoding="utf-8") as file:
        file.write("# a change\n")
    assert module.commit() == f"{commit[:12]}+"


def test_without_a_repository_or_git_there_is_no_commit(copied, tmp_path, monkeypatch):
    module, git = copied
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert module.commit() is None
    git("init")  # nothing is committed
    assert module.commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert module.commit() is None


@pytest.mark.parametrize(
    ("present", "visible", "libraries", "expected"),
    [
        (True, None, True, 1),
        (True, "0", True, 1),
        (True, "", True, 0),
        (True, "-1", True, 0),
        (True, None, False, 0),
        (False, None, True, 0),
    ],
)
def test_a_gpu_counts_if_it_is_visible_and_has_its_libraries(
    monkeypatch, present, visible, libraries, expected
):
    monkeypatch.setattr(Path, "glob", lambda *_: [Path("0000:01")] if present else [])
    monkeypatch.setattr(machine, "find_spec", lambda _: libraries or None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_gpus() == expected

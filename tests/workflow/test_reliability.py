"""Runs that are killed, started twice, damaged or out of disk space.

`make reliability` does this on a larger scale; docs/reliability.md has its figures.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import psutil
import pytest

from shears.runtime.lock import VARIABLE, hold_lock, look_at_lock
from shears.training.checkpoint import Checkpoint, State
from tests import ROOT
from tests.file_systems import (
    read_only,
    without_locks,
    without_write_permission,
)
from tests.workflow.edits import reworded
from tests.workflow.project import (
    copy_project,
    jobs,
    make_environment,
    snakemake,
    start,
    wait_for,
)
from tools.full_disk import full_disk_runs
from tools.kill_runs import kill_runs, products


def test_a_run_killed_three_times_ends_in_the_same_bytes(shared_run):
    seed = time.time_ns() % 10_000  # other moments each time; shown on failure
    # Without Part A, which trains nothing; `make reliability` kills that, too. Its
    # notebook is the one result with source code in it, wording included.
    expected = {
        name: content
        for name, content in products(shared_run.folder).items()
        if "assignment_notebook" not in name
    }
    # Reworded: what the digest of the code leaves out changes no byte of a result.
    outcome = kill_runs(
        3,
        seed,
        longest=20,
        expected=expected,
        edit=reworded,
        optimizers={"data_sets": []},
    )
    assert sum(outcome["kills"].values()) == 3, seed
    assert outcome["differ"] == []
    assert outcome["repeated"] == 0
    assert outcome["left"] == []


@pytest.fixture
def copy(shared_run, tmp_path) -> Path:
    """A copy of the finished project, to do harm to."""
    return shutil.copytree(shared_run.folder, tmp_path / "project", symlinks=True)


def remove_rounds(project: Path) -> None:
    """Removes the rounds and what follows; the data and the baseline stay."""
    shutil.rmtree(project / "results/lamp")
    for name in ("choice.json", "submission/my_model_weights.h5", "report.html"):
        (project / "results" / name).unlink()


def test_a_second_run_in_the_same_folder_is_refused_and_does_no_harm(shared_run):
    """The shared run succeeded, and killed runs without a second have its bytes."""
    assert shared_run.second.returncode == 1
    last = shared_run.second.stdout.splitlines()[-1]
    assert f"error: {shared_run.folder}: another run is using this folder (proc" in last
    assert str(shared_run.process) in last
    assert "Traceback" not in shared_run.second.stdout


def test_two_projects_with_one_results_folder_exclude_each_other(
    copy, tmp_path, monkeypatch
):
    monkeypatch.setenv(VARIABLE, "")  # which holding a lock sets
    shared = tmp_path / "shared"
    (copy / "results").rename(shared)
    (copy / "results").symlink_to(shared)
    (shared / "report.html").unlink()
    hold_lock(shared, look_at_lock(shared))  # as another project's run does
    run = snakemake(copy)
    assert run.returncode == 1
    assert f"error: {shared}: another run is using this folder (proc" in run.stdout
    assert not (shared / "report.html").exists()


def test_a_killed_job_is_reported_and_run_again(copy):
    (copy / "results/report.html").unlink()
    run = start(copy)
    wait_for(run, "Writing the report")
    deadline = time.monotonic() + 60
    while not (jobs_of_run := psutil.Process(run.pid).children(recursive=True)):
        assert time.monotonic() < deadline
    for process in jobs_of_run:
        process.kill()
    printed = run.stdout.read()
    assert run.wait() == 1
    assert "error: a job was killed, most often for lack of memory" in printed
    assert "Finished files are kept" in printed
    assert "Traceback" not in printed
    assert snakemake(copy).returncode == 0


def test_an_interrupted_run_ends_plainly_and_resumes_later(copy):
    remove_rounds(copy)
    config = copy / "config.yaml"  # long enough not to end before the signals come
    config.write_text(
        config.read_text(encoding="utf-8").replace("epochs: 1\n", "epochs: 9\n", 1),
        encoding="utf-8",
    )
    for sign in (signal.SIGINT, signal.SIGTERM):
        run = start(copy)
        wait_for(run, "prune_round lamp 1: epoch ")
        os.killpg(run.pid, sign)
        printed = run.stdout.read()
        assert run.wait() != 0
        assert printed.count("Traceback") == 0, printed
        assert list(copy.glob("results/lamp/seed_0/round_*/weights.h5")) == []
    # The checkpoint of another job, killed before Snakemake recorded it as done.
    other = copy / "checkpoints/lamp/seed_0/round_2.npz"
    Checkpoint(other, "key").save(State({}, [], finished=True))
    reworded(copy)  # which must not cost the checkpoint
    again = snakemake(copy, "results/lamp/seed_0/round_1/weights.h5")
    assert again.returncode == 0
    assert list(other.parent.iterdir()) == [other]
    assert re.search("resuming after epoch [1-8]/9", again.stdout)


def test_ctrl_c_while_the_training_step_is_measured_is_plain(copy):
    remove_rounds(copy)
    config = copy / "config.yaml"  # enough images to be worth the measurement
    config.write_text(
        config.read_text(encoding="utf-8").replace("epochs: 1\n", "epochs: 999\n", 1),
        encoding="utf-8",
    )
    run = start(copy)
    wait_for(run, "disk: ")
    time.sleep(1)  # TensorFlow alone takes longer to start
    os.killpg(run.pid, signal.SIGINT)
    printed = run.stdout.read()
    assert run.wait() != 0
    assert "Interrupted before anything ran." in printed
    assert "Traceback" not in printed, printed


def damage(path: Path) -> None:
    """Flips a bit and leaves the dates, as a bad disk does."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    times = path.stat()
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def assert_damage_is_named(printed: str, name: str) -> None:
    (message, *_) = [line for line in printed.splitlines() if f"error: {name}" in line]
    assert "damaged (its sha256 is" in message
    assert f"delete it and make it again: snakemake {name}" in message
    assert "Traceback" not in printed


def assert_the_rest_is_kept(project: Path, rules: Collection[str]) -> None:
    """What was made again came out the same, so nothing that depends on it runs."""
    left = jobs(project)
    for rule in rules:
        assert left.pop(rule, 0) <= 3
    assert not {"train_baseline", "prune_round"} & left.keys()


def test_a_flipped_bit_is_named_and_repaired_and_other_candidates_continue(copy):
    # The file that is damaged, the rule that reads it, and what that rule makes.
    for name, rule, made in (
        (
            "results/choice.json",
            "package_submission",
            "results/submission/manifest.json",
        ),
        (
            "results/dataset.h5",
            "score_candidate",
            "results/dense/seed_0/score_test.json",
        ),
    ):
        damage(copy / name)
        run = snakemake(copy, made, "--forcerun", rule)
        assert run.returncode == 1
        assert_damage_is_named(run.stdout, name)
        (copy / name).unlink()
        assert snakemake(copy, name).returncode == 0
    assert_the_rest_is_kept(copy, ["package_submission", "score_candidate"])

    # Other candidates continue with --keep-going.
    name = "results/lamp/seed_0/round_2/weights.h5"
    damage(copy / name)
    others = ("dense/seed_0", "lamp/seed_0/round_1")
    scores = [copy / f"results/{other}/score_test.json" for other in others]
    for path in scores:
        path.unlink(missing_ok=True)
    run = snakemake(copy, "--keep-going", "--forcerun", "score_candidate")
    assert run.returncode == 1
    assert_damage_is_named(run.stdout, name)
    assert f"score_candidate lamp/seed_0/round_2: error: {name}" in run.stdout
    assert all(path.exists() for path in scores)
    (copy / name).unlink()
    assert snakemake(copy, name).returncode == 0
    assert_the_rest_is_kept(copy, ["score_candidate"])
    assert snakemake(copy).returncode == 0


def test_without_locks_every_job_that_reads_hdf5_works_and_the_run_says_so(
    copy, tmp_path
):
    made = ("results/dense/seed_0/score_test.json", "results/pruning_notebook.ipynb")
    run = snakemake(
        copy,
        *made,
        "--forcerun",
        "score_candidate",
        "run_pruning_notebook",
        **without_locks(tmp_path),
    )
    assert run.returncode == 0, run.stdout
    told = f"{copy}: its file system has no locks, so nothing keeps a second run out"
    assert run.stdout.count(told) == 1
    assert "damaged" not in run.stdout


@pytest.mark.parametrize("begun", [False, True])
def test_a_read_only_folder_is_named_before_anything_is_planned(tmp_path, begun):
    project = copy_project(tmp_path / "project")
    if begun:  # somebody else's run has left its records
        assert snakemake(project, "-n").returncode == 0
    folder = project / ".snakemake" if begun else project
    before = set(project.rglob("*"))
    for arguments in (["-n"], []):
        command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments]
        with read_only(folder):
            run = subprocess.run(
                without_write_permission(command),
                cwd=project,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
            )
        assert run.returncode == 1
        lines = run.stdout.splitlines()
        assert lines[-1].startswith(f"error: {folder}: found a folder of ")
        assert lines[-1].endswith(": work in a copy of your own")
        assert "Traceback" not in run.stdout and "Building DAG" not in run.stdout
        assert {p for p in project.rglob("*") if "__pycache__" not in p.parts} == before


def test_make_names_a_folder_that_it_may_not_install_in(tmp_path):
    folder = tmp_path / "clone"
    (folder / "envs").mkdir(parents=True)
    shutil.copy2(ROOT / "Makefile", folder)
    shutil.copy2(ROOT / "envs/requirements.lock", folder / "envs")
    with read_only(folder):
        run = subprocess.run(
            without_write_permission(["make", "demo"]),
            cwd=folder,
            capture_output=True,
            env=make_environment(),
            encoding="utf-8",
        )
    first, second = run.stderr.splitlines()
    assert f"{folder}: " in first and "may not write to this folder" in first
    assert re.match(r"make(\[\d\])?: \*\*\* ", second)  # the number is the level
    assert run.returncode == 2


def test_a_full_disk_is_reported_and_the_run_resumes_when_there_is_room():
    names = ("prepare_dataset", "train_teacher", "save_teacher_logits")
    try:
        runs = full_disk_runs(whole=False, jobs=names)
    except PermissionError as error:
        pytest.skip(f"{error}: only root may")
    for name, run in runs.items():
        printed = run["printed"]
        assert run["failed"] and run["reported"], printed
        assert f"{name}: error: " in printed
        assert "No space left on device: make room and run again" in printed
        assert not run["traceback"], printed
        assert run["left"] == []
        assert run["succeeded"]


def test_a_disk_that_is_full_from_the_start_is_reported_before_anything_runs(tmp_path):
    project = copy_project(tmp_path / "project")
    module = project / "shears/runtime/files.py"
    text = module.read_text(encoding="utf-8")
    module.write_text(
        text.replace("ROOM = 1 << 20", "ROOM = 1 << 60"), encoding="utf-8"
    )
    run = snakemake(project)
    assert run.returncode == 1
    assert "bytes are free on its disk, expected at least 1,152,921" in run.stdout
    assert "Traceback" not in run.stdout
    assert not (project / "results").exists()

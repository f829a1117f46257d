"""Results without Snakemake's memory: deleted, copied, unpacked or cloned."""

import ast
import json
import os
import shutil
import subprocess
import tarfile
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from tests import ROOT
from tests.workflow.edits import code, rounds
from tests.workflow.project import copy_project, edited, jobs, snakemake
from tests.workflow.reruns import LAST_ROUND, ROUNDS
from tests.workflow.test_reliability import assert_damage_is_named, damage

WEIGHTS = "results/lamp/seed_0/round_2/weights.h5"


@pytest.fixture
def copy(shared_run, tmp_path) -> Path:
    """A copy of the finished project in which Snakemake's memory is deleted."""
    folder = shutil.copytree(shared_run.folder, tmp_path / "project", symlinks=True)
    shutil.rmtree(folder / ".snakemake")
    return folder


def planned(project: Path) -> dict[str, int]:
    return {rule: n for rule, n in jobs(project).items() if rule != "all"}


def memory(project: Path) -> dict[str, dict]:
    """Reads what Snakemake knows of each result."""
    folder = project / ".snakemake/metadata"
    found = {}
    for path in filter(Path.is_file, folder.rglob("*")):
        name = "".join(path.relative_to(folder).parts).replace("@", "")
        record = json.loads(path.read_text(encoding="utf-8"))
        keys = ("rule", "params", "input", "input_checksums")
        found[urlsafe_b64decode(name).decode()] = {key: record[key] for key in keys}
    return found


def test_the_memory_is_restored_whole(shared_run, copy):
    assert jobs(copy) == {}
    known = memory(shared_run.folder)
    assert len(known) > 40
    assert memory(copy) == known


def test_every_job_keeps_a_record_before_it_does_anything_else():
    for path in (ROOT / "scripts").glob("*.py"):
        if path.stem == "download_cifar10":  # its file has a checksum in config.yaml
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        (job,) = [node for node in ast.walk(tree) if isinstance(node, ast.With)]
        assert ast.unparse(job.body[0]).startswith("write_record(snakemake."), path


def test_an_edit_is_seen_without_the_memory(copy):
    rounds((0.8, 1), (0.91, 1))(copy)
    assert planned(copy) == LAST_ROUND
    shutil.rmtree(copy / ".snakemake")
    code("shears/pruning/masks.py")(copy)
    assert planned(copy) == ROUNDS


def copied(results: Path, folder: Path) -> None:
    subprocess.run(["cp", "-r", results, folder], check=True)


def unpacked(results: Path, folder: Path) -> None:
    def without_date(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.mtime = 0
        return member

    with tarfile.open(folder / "results.tar", "w") as archive:
        archive.add(results, "results", filter=without_date)
    with tarfile.open(folder / "results.tar") as archive:
        archive.extractall(folder, filter="data")


def cloned(results: Path, folder: Path) -> None:
    source = folder.parent / "repository"
    shutil.copytree(results, source / "results")
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-f", "."], ["commit", "-qm", "Results"]):
        subprocess.run(["git", *author, *command], cwd=source, check=True)
    subprocess.run(["git", "clone", "-q", source, folder / "clone"], check=True)
    shutil.move(folder / "clone/results", folder / "results")


@pytest.mark.parametrize("way", [copied, unpacked, cloned])
def test_restored_results_are_taken_as_they_are(shared_run, tmp_path, way, request):
    if way is cloned:
        request.getfixturevalue("own_git")
    project = copy_project(tmp_path / "fresh", latency={"runs": 1})
    way(shared_run.folder / "results", project)
    assert jobs(project) == {}
    shutil.rmtree(project / ".snakemake")
    rounds((0.8, 1), (0.91, 1))(project)
    assert planned(project) == LAST_ROUND


def test_results_in_place_of_those_that_snakemake_knows_are_recognised(
    shared_run, tmp_path
):
    project = tmp_path / "project"
    shutil.copytree(shared_run.folder, project, symlinks=True)
    record = project / WEIGHTS.replace("weights.h5", ".weights.h5.job.json")
    with edited(record, "'sparsity': 0.9,", "'sparsity': 0.92,"):
        os.utime(project / WEIGHTS)
        assert planned(project) == LAST_ROUND


def test_damaged_results_are_not_taken(copy):
    damage(copy / WEIGHTS)
    assert_damage_is_named(snakemake(copy, "-n").stdout, WEIGHTS)
    (copy / WEIGHTS).unlink()
    assert planned(copy)["prune_round"] == 1


def test_a_record_that_cannot_be_read_is_named(copy):
    record = copy / WEIGHTS.replace("weights.h5", ".weights.h5.job.json")
    record.write_bytes(record.read_bytes()[:100])
    run = snakemake(copy, "-n")
    assert run.returncode == 1
    assert f"error: {record.relative_to(copy)}: found no record of a job" in run.stdout
    assert "Traceback" not in run.stdout

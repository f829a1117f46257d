"""A class of 60: half of them are ranked, the others refused for every reason."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

from shears.model.parameters import Parameters
from shears.weight_files.canonical import read_weights, write_weights
from tests.conftest import make_parameters
from tests.unit.weight_files.bad_archives import BAD_ARCHIVES
from tests.unit.weight_files.bad_files import BAD, NOT_HDF5
from tests.unit.weight_files.genuine_files import unpack
from tests.unit.weight_files.hostile_files import HOSTILE
from tests.workflow.project import jobs, snakemake

NAME = "my_model_weights.h5"
START = datetime(2026, 11, 20)
CLASS = 'the "class" of \'26'  # no quoting may break it
TARGET = ("leaderboard", "--config", f"submissions={CLASS}")
# The others need seconds, or a smaller limit of memory.
HARM = ("a tree that returns", "a name that is not indexed", "a link to another file")


def write_bad_files(folder: Path) -> Iterator[tuple[Path, str]]:
    """Writes a file for each of the reader's reasons; yields it and the reason."""
    good, archive = folder / "good.h5", folder / "archive"
    write_weights(good, make_parameters(0, zeros=0.9))
    unpack("keras-3.15.sequential.save.keras", folder).rename(archive)

    def place() -> Path:
        place.number += 1
        path = folder / str(place.number) / NAME
        path.parent.mkdir()
        return path

    place.number = 0
    for spoil, message in BAD.values():
        path = Path(shutil.copyfile(good, place()))
        with h5py.File(path, "r+") as file:
            spoil(file)
        yield path, message
    for source, changes in ((good, NOT_HDF5), (archive, BAD_ARCHIVES)):
        for change, message in changes.values():
            path = place()
            path.write_bytes(change(source.read_bytes()))
            yield path, message
    for kind in HARM:
        make, message = HOSTILE[kind]
        make(path := place())
        yield path, message.replace("2 seconds", "10 seconds")


def pruned_further(parameters: Parameters, number: int) -> Parameters:
    """Sets some more weights to zero, the smallest ones, which changes little."""
    vector = parameters.vector.copy()
    left = np.flatnonzero(vector)
    vector[left[np.argsort(np.abs(vector[left]))[: 50 * number]]] = 0
    return Parameters(vector)


def write_class(folder: Path, results: Path) -> dict[str, str | None]:
    """Writes Gradescope's export of 60 students.

    Returns:
        By name, the reason why the last upload is refused, or None.
    """
    networks = [
        read_weights(results / name / "weights.h5")
        for name in ("dense/seed_0", "lamp/seed_0/round_1", "lamp/seed_0/round_2")
    ]
    entries: dict[str, dict] = {}

    def upload(student: str, file: Path | Parameters, hours: float) -> None:
        name = f"submission_{1000 + len(entries)}"
        (folder / name).mkdir(parents=True)
        if isinstance(file, Parameters):
            write_weights(folder / name / NAME, file)
        else:
            shutil.move(file.parent, folder / name / "handed in")
        person = {":name": student, ":email": f"{student.lower()}@school.edu"}
        entries[name] = {
            ":submitters": [person],
            ":created_at": START + timedelta(hours=hours),
        }

    expected: dict[str, str | None] = {}
    for number in range(30):
        student = f"Good{number:02}"
        expected[student] = None
        if number < 10:
            upload(student, networks[0], 3)
            upload(student, networks[1], 1)
        # The first two hand in the same.
        network = pruned_further(networks[2], max(1, number))
        if number == 29:  # the mask of another, other weights
            network = Parameters(pruned_further(networks[2], 28).vector * 2)
        upload(student, network, 5)
    work = folder.parent / "work"
    work.mkdir()
    for number, (path, message) in enumerate(write_bad_files(work)):
        student = f"Bad{number % 30:02}"
        expected[student] = message
        upload(student, path, number)
    shutil.rmtree(work)
    (folder / "submission_metadata.yml").write_text(
        yaml.safe_dump(entries), encoding="utf-8"
    )
    return expected


@pytest.fixture
def project(finished, tmp_path) -> Path:
    """A copy of the finished project."""
    return shutil.copytree(finished[0], tmp_path / "project", symlinks=True)


def command(project: Path, *arguments: str) -> dict:
    """Runs shears leaderboard in the project; its results lie where the target's do."""
    run = subprocess.run(
        [sys.executable, "-m", "shears", "leaderboard", CLASS, "--json", *arguments],
        cwd=project,
        capture_output=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout)


@pytest.mark.slow
def test_a_class_of_60_goes_through_the_command_and_the_target(project):
    # In one test, because a class is scored once.
    expected = write_class(project / CLASS, project / "results")
    made = command(project, "--output", "results/leaderboard")
    assert_the_class_is_ranked(made, expected)
    again = command(project, "--output", "results/leaderboard")
    # A score is kept; a refusal may be the moment's fault, so that file is read again.
    uploads = [one for student in made["students"] for one in student["uploads"]]
    assert again["cached"] == sum(one["score"] is not None for one in uploads)
    assert again["read"] + again["cached"] == made["read"] + made["cached"]
    for kind in ("html", "csv", "json"):
        (project / f"results/leaderboard/leaderboard.{kind}").unlink()
    assert_the_target_scores_only_what_is_new(project, again)


def assert_the_class_is_ranked(made: dict, expected: dict[str, str | None]) -> None:
    students = {student["name"]: student for student in made["students"]}
    assert students.keys() == expected.keys() and len(students) == 60
    for name, message in expected.items():
        refused = students[name]["refused"]
        assert refused is None if message is None else message in refused, name
    good = [student for student in students.values() if student["rank"]]
    assert len(good) == 30
    assert [one["rank"] for one in good] == sorted(one["rank"] for one in good)
    scores = [student["score"] for student in good]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.85
    assert [len(students[f"Good{n:02}"]["uploads"]) for n in (0, 9, 10)] == [3, 3, 1]
    history = students["Good03"]["uploads"]
    assert [one["time"][11:13] for one in history] == ["01", "03", "05"]
    assert history[2]["score"] == students["Good03"]["score"] != history[0]["score"]
    assert students["Good00"]["same_weights"] == ["Good01"]
    assert students["Good29"]["same_mask"] == ["Good28"]
    assert made["images"] == 297


def assert_the_target_scores_only_what_is_new(project: Path, before: dict) -> None:
    run = snakemake(project, *TARGET)
    assert run.returncode == 0, run.stdout[-3000:]
    counts = f"{before['read']} read, {before['cached']} scores from the cache"
    assert counts in run.stdout
    path = project / "results/leaderboard/leaderboard.json"
    board = json.loads(path.read_text(encoding="utf-8"))
    for key in ("score", "rank", "refused"):
        assert [s[key] for s in board["students"]] == [
            s[key] for s in before["students"]
        ]
    assert not any(student["change"]["new"] for student in board["students"])
    assert nothing_to_do(project)
    # Nothing of the class is part of the whole workflow.
    assert jobs(project) == {}
    os.utime(project / CLASS)
    os.utime(project / CLASS / "submission_1000")
    assert nothing_to_do(project)
    shutil.move(project / CLASS / "submission_1000" / NAME, project / CLASS / "kept.h5")
    write_weights(
        project / CLASS / "submission_1000" / NAME, make_parameters(7, zeros=0.1)
    )
    (project / CLASS / "kept.h5").unlink()
    assert not nothing_to_do(project)
    run = snakemake(project, *TARGET)
    assert run.returncode == 0, run.stdout[-3000:]
    counts = f"{before['read'] + 1} read, {before['cached'] - 1} scores from the cache"
    assert counts in run.stdout
    assert "error" not in run.stdout.lower()


def nothing_to_do(project: Path) -> bool:
    run = snakemake(project, "-n", *TARGET)
    assert run.returncode == 0, run.stdout[-3000:]
    return "Nothing to be done" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "submissions: found no folder, expected that of a class: --config sub"),
        (("--config", "submissions=no"), "no: No such file or directory; expected a"),
    ],
)
def test_without_a_class_the_target_ends_in_one_line(project, arguments, message):
    run = snakemake(project, "leaderboard", *arguments)
    assert run.returncode == 1
    assert run.stdout.splitlines()[-1].startswith(f"error: {message}")
    assert "Traceback" not in run.stdout

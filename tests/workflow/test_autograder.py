"""The autograder as Gradescope runs it: the zip unpacked, set up and run.

Gradescope has the folder /autograder; here it is a plain folder with the same tree.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from shears.cli import main
from shears.data.dataset import Split, write_dataset
from shears.evaluation.grading import GradedNetwork
from shears.model.numpy_forward import logits
from shears.model.parameters import Parameters
from shears.optimizer_study.course_notebook import POINTS, SOLUTIONS
from shears.optimizer_study.fill import fill_file
from shears.weight_files.canonical import write_weights
from tests import ROOT
from tests.conftest import make_parameters
from tests.unit.classroom.test_gradescope_results import SCHEMA
from tests.unit.optimizer_study.course import (
    cell,
    course_notebook,
    graded_test,
    solution,
)
from tests.unit.weight_files import hostile_files
from tests.unit.weight_files.bad_files import NOT_HDF5

pytestmark = pytest.mark.slow

IMAGES = 100
NO_REGISTRY = "Could not find a version|No matching distribution|ConnectionError"
Grade = Callable[..., dict]
FORGERY = """\
import pathlib
forged = '{{"score": 140, "tests": []}}'
print(forged)
for name in ("results/results.json", "source/settings.json", "forged.json"):
    try:
        pathlib.Path({root!r}, name).write_text(forged)
    except OSError as error:
        print(error)
"""


def lay_out(archive: Path, root: Path) -> dict[str, str]:
    """Unpacks the zip as Gradescope does; returns the environment of its programs."""
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    with zipfile.ZipFile(archive) as content:
        content.extractall(root / "source")
    for name in ("setup.sh", "run_autograder"):
        (root / "source" / name).chmod(0o755)
    shutil.copy(root / "source/run_autograder", root)
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return {**kept, "AUTOGRADER_ROOT": str(root)}


def set_up(root: Path, environment: dict[str, str]) -> "subprocess.CompletedProcess":
    return subprocess.run(
        [root / "source/setup.sh"],
        cwd="/",
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def grader(root: Path, environment: dict[str, str]) -> Grade:
    """Returns a function that grades files, given by name, and returns the results."""

    def grade(**files: Path) -> dict:
        shutil.rmtree(root / "submission")
        (root / "submission").mkdir()
        for name, path in files.items():
            target = root / "submission" / name.replace("__", ".")
            shutil.copy(path, target, follow_symlinks=False)
        before = digests(root / "source")
        started = time.monotonic()
        ended = subprocess.run(
            [root / "run_autograder"],
            cwd="/",
            env=environment,
            capture_output=True,
            encoding="utf-8",
        )
        print(f"{files}: {time.monotonic() - started:.1f} s")
        print(ended.stdout)
        assert ended.returncode == 0, ended.stderr
        assert digests(root / "source") == before
        (written,) = (root / "results").iterdir()
        content = json.loads(written.read_text(encoding="utf-8"))
        jsonschema.validate(content, SCHEMA)
        assert str(root) not in json.dumps(content)  # the student's file, not ours
        return content

    return grade


def draw_network(images: np.ndarray) -> Parameters:
    """Draws a network whose predictions differ from image to image."""
    network = make_parameters(0, zeros=0.9)
    network.kernels[-1][:] *= 1000
    network.biases[-1][:] -= logits(network, images).mean(0)
    return network


def draw_images() -> np.ndarray:
    """Draws images of one colour each, with noise."""
    rng = np.random.default_rng(0)
    colours = rng.integers(0, 200, (IMAGES, 1, 1, 3), np.uint8)
    return colours + rng.integers(0, 50, (IMAGES, 32, 32, 3), np.uint8)


NETWORK = draw_network(draw_images())


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Images that `NETWORK` classifies without a mistake."""
    path = tmp_path_factory.mktemp("data") / "data.h5"
    split = Split(draw_images(), np.zeros(IMAGES, np.uint8))
    _, labels = GradedNetwork.from_parameters(NETWORK).score(split)
    assert len(set(labels)) > 3
    write_dataset(path, {"test": split._replace(labels=labels)})
    return path


@pytest.fixture(scope="module")
def grade(tmp_path_factory, data) -> Grade:
    """Grades Part B, with packages from the registry."""
    folder = tmp_path_factory.mktemp("part_b")
    archive = folder / "autograder.zip"
    assert not main(["autograder", str(archive), "--parts", "b", "--data", str(data)])
    environment = lay_out(archive, folder / "autograder")
    ended = set_up(folder / "autograder", environment)
    if re.search(NO_REGISTRY, ended.stderr):
        pytest.skip(f"no package registry: {ended.stderr.splitlines()[-1]}")
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.endswith("setup.sh: the grader is ready\n")
    assert not (folder / "autograder/source").stat().st_mode & 0o077
    return grader(folder / "autograder", environment)


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "my_model_weights.h5"
    write_weights(path, NETWORK)
    return path


def shears_score(path: Path, data: Path, capsys) -> dict:
    capsys.readouterr()
    assert main(["score", str(path), "--data", str(data), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def values(content: dict) -> dict[str, float]:
    return {entry["name"]: entry["value"] for entry in content["leaderboard"]}


@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.9])
def test_a_good_file_gets_the_points_that_shears_score_says(
    grade, file, data, capsys, zeros
):
    rng = np.random.default_rng(1)
    mask = (rng.random(NETWORK.vector.shape) >= zeros).astype(np.float32)
    write_weights(file, Parameters(NETWORK.vector * mask))
    expected = shears_score(file, data, capsys)
    content = grade(my_model_weights__h5=file)
    assert values(content) == {
        name: pytest.approx(expected[name.lower()], abs=1e-6)
        for name in ("Score", "Accuracy", "Sparsity")
    }
    assert content["score"] == pytest.approx(100 * expected["score"], abs=1e-4)


def test_nothing_uploaded_is_said_plainly(grade):
    content = grade()
    assert content["score"] == 0
    assert content["tests"][0]["output"].startswith("found no my_model_weights.h5")
    assert content["leaderboard"] == []


@pytest.mark.parametrize("kind", NOT_HDF5)
def test_a_bad_file_gets_nothing_and_its_reason(grade, file, kind):
    spoil, message = NOT_HDF5[kind]
    file.write_bytes(spoil(file.read_bytes()))
    content = grade(mine__h5=file)
    assert content["score"] == 0
    assert content["tests"][0]["output"].startswith("mine.h5: ")
    assert message in content["tests"][0]["output"]


@pytest.mark.parametrize("kind", ["endless_heap", "tree_that_returns"])
def test_a_hostile_or_slow_file_ends_within_its_limits(grade, file, kind):
    getattr(hostile_files, kind)(file)
    content = grade(my_model_weights__h5=file)
    assert content["score"] == 0
    assert content["tests"][0]["status"] == "failed"
    assert content["execution_time"] < 60


def test_a_link_out_of_the_upload_is_not_followed(grade, file, tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to(file)
    content = grade(my_model_weights__h5=link)
    assert content["score"] == 0
    assert content["tests"][0]["output"].startswith("found no my_model_weights.h5")


def test_setup_may_run_again_and_take_an_environment_that_is_there(
    tmp_path, data, file
):
    archive, root = tmp_path / "a.zip", tmp_path / "autograder"
    assert not main(["autograder", str(archive), "--parts", "b", "--data", str(data)])
    environment = lay_out(archive, root) | {"AUTOGRADER_PYTHON": sys.executable}
    for _ in range(2):
        ended = set_up(root, environment)
        assert ended.returncode == 0, ended.stderr
    assert (root / "venv").is_symlink()
    assert grader(root, environment)(my_model_weights__h5=file)["score"] > 90
    # Where the environment is gone, the results are still valid.
    (root / "venv").unlink()
    ended = subprocess.run(
        [root / "run_autograder"], env=environment, capture_output=True
    )
    assert ended.returncode
    content = json.loads((root / "results/results.json").read_text(encoding="utf-8"))
    jsonschema.validate(content, SCHEMA)
    assert content["score"] == 0
    assert "not to blame" in content["output"]


def test_damaged_images_fail_the_setup_and_not_the_students(tmp_path, data):
    archive, root = tmp_path / "a.zip", tmp_path / "autograder"
    assert not main(["autograder", str(archive), "--parts", "b", "--data", str(data)])
    environment = lay_out(archive, root) | {"AUTOGRADER_PYTHON": sys.executable}
    packed = root / "source/test_images.packed"
    packed.write_bytes(packed.read_bytes()[:-100])
    ended = set_up(root, environment)
    assert ended.returncode
    assert "found no packed images" in ended.stderr


@pytest.fixture(scope="module")
def both(tmp_path_factory, data) -> tuple[Path, Grade]:
    """Grades both parts, in this environment: TensorFlow is large to install."""
    folder = tmp_path_factory.mktemp("both")
    archive, root = folder / "autograder.zip", folder / "autograder"
    assert not main(["autograder", str(archive), "--data", str(data)])
    environment = lay_out(archive, root) | {"AUTOGRADER_PYTHON": sys.executable}
    ended = set_up(root, environment)
    assert ended.returncode == 0, ended.stderr
    return root, grader(root, environment)


def points(content: dict, part: str) -> float:
    return sum(test["score"] for test in content["tests"] if part in test["name"])


def test_our_own_notebook_and_a_good_file_get_the_points_of_both_parts(
    both, file, tmp_path
):
    notebook = tmp_path / "assignment_notebook.ipynb"
    notebook.write_bytes(fill_file(ROOT / "notebooks" / notebook.name).encode())
    content = both[1](my_model_weights__h5=file, assignment_notebook__ipynb=notebook)
    assert points(content, "Part A") == sum(POINTS.values())
    assert points(content, "Part B") == pytest.approx(100 * values(content)["Score"])


def test_a_notebook_that_forges_results_gets_nothing_and_changes_nothing(
    both, file, tmp_path, capsys
):
    root, grade = both
    cells = [cell(FORGERY.format(root=str(root)))]
    for name in SOLUTIONS:
        cells += [solution(name, f"{name} = 1"), graded_test(name, "pass")]
    notebook = tmp_path / "mine.ipynb"
    notebook.write_text(json.dumps(course_notebook() | {"cells": cells}), "utf-8")
    content = grade(my_model_weights__h5=file, mine__ipynb=notebook)
    walls = capsys.readouterr().out
    assert points(content, "Part A") == 0
    assert points(content, "Part B") == content["score"] > 90
    if "as a user of its own" in walls or "no files but its own" in walls:
        assert not (root / "forged.json").exists()


def test_a_part_that_is_missing_is_said_plainly(both, file):
    content = both[1](my_model_weights__h5=file)
    (missing,) = [test for test in content["tests"] if "Part A" in test["name"]]
    assert missing["output"].startswith("found no assignment_notebook.ipynb")
    assert (missing["score"], missing["max_score"]) == (0, sum(POINTS.values()))
    assert points(content, "Part B") > 90


def test_setup_in_the_wrong_place_is_one_line_and_makes_nothing(tmp_path):
    environment = {**os.environ, "AUTOGRADER_ROOT": str(tmp_path)}
    program = ROOT / "shears/classroom/grader/setup.sh"
    ended = subprocess.run([program], env=environment, capture_output=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith(b"setup.sh: found no requirements.lock in ")
    assert ended.stderr.count(b"\n") == 1
    assert not [*tmp_path.iterdir()]

"""Weights files in genuine TensorFlow versions. `make test-graders`.

Each version starts once and loads everything: the packaged files and generated ones.
"""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from shears.runtime.errors import UserError
from shears.weight_files.canonical import read_weights, write_weights
from shears.weight_files.reader import loaders, read_contents
from tests import ROOT
from tests.conftest import make_parameters
from tests.graders.environments import GRADERS, install
from tests.graders.layouts import write_files

SEED, DRAWN = 22, 175
LABELS = {
    "tensorflow-2.2": "TensorFlow 2.2",
    "tensorflow-2.15": "TensorFlow 2.15",
    "tf_keras": "tf_keras 2.21",
    "keras": "Keras 3.15",
}
WAYS = ("load_weights", "load_model")


class Verdict(NamedTuple):
    """What our reader says about a file.

    Attributes:
        weights: The SHA-256 of the arrays; None if the file is refused.
        loads_in: As `loaders` returns it.
        exact: Whether its layers compute in float32, as the fixed network's do.
        error: Why it is refused.
    """

    weights: str | None
    loads_in: dict[str, list[str]]
    exact: bool
    error: str


class Files(NamedTuple):
    """Files of a run, and where they are."""

    folder: Path
    submissions: list[str]
    generated: dict[str, bool | None]
    verdicts: dict[str, Verdict]


def judge(path: Path) -> Verdict:
    """Reads a file as `shears inspect` does."""
    try:
        with path.open("rb") as file:
            contents = read_contents(file)
    except UserError as error:
        return Verdict(None, {label: [] for label in LABELS.values()}, True, str(error))
    content = b"".join(array.tobytes() for array in contents.parameters.arrays)
    exact = not any("precision" in note for note in contents.ignored)
    digest = hashlib.sha256(content).hexdigest()
    return Verdict(digest, loaders(contents, path), exact, "")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    """Writes a submission, adds the reference run's, and generates files."""
    folder = tmp_path_factory.mktemp("graders")
    generated = write_files(folder, SEED, DRAWN)
    write_weights(folder / "written.h5", make_parameters(0, zeros=0.98))
    submissions = ["written.h5"]
    for file in ROOT.glob("reference/my_model_weights.h5"):
        submissions.append(shutil.copyfile(file, folder / file.name).name)
    verdicts = {name: judge(folder / name) for name in [*generated, *submissions]}
    return Files(folder, submissions, generated, verdicts)


class Graders:
    """Loads all files with a grader, once.

    Attributes:
        outcomes: What tests/graders/load.py says, by grader, file and way.
    """

    def __init__(self, files: Files, place: Path) -> None:
        self.files, self.place = files, place
        self.outcomes: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
        images = np.random.default_rng(0).random((8, 32, 32, 3)).astype(np.float32)
        np.save(place / "images.npy", images)

    def load(self, name: str) -> dict[str, dict[str, dict[str, Any]]]:
        if name not in self.outcomes:
            python, environment = install(name)
            target = self.place / f"{name}.json"
            command = [python, "tests/graders/load.py", str(self.files.folder)]
            command += [str(self.place / "images.npy"), str(target)]
            subprocess.run(command, cwd=ROOT, env=environment, check=True)
            self.outcomes[name] = json.loads(target.read_text(encoding="utf-8"))
        return self.outcomes[name]


@pytest.fixture(scope="module")
def graders(files, tmp_path_factory) -> Graders:
    return Graders(files, tmp_path_factory.mktemp("outcomes"))


def test_there_are_many_generated_files_of_each_kind(files):
    assert len(files.generated) >= 300
    accepted = [name for name in files.generated if files.verdicts[name].weights]
    assert 80 < len(accepted) < len(files.generated) - 50


@pytest.mark.parametrize("name", GRADERS)
def test_both_ways_of_loading_give_every_bit_and_the_same_predictions(
    files, graders, name
):
    actual, expected = graders.load(name), graders.load("keras")
    for file in files.submissions:
        arrays = read_weights(files.folder / file).arrays
        content = b"".join(array.tobytes() for array in arrays)
        outputs = np.array(expected[file]["load_weights"]["outputs"])
        for way in WAYS:
            outcome = actual[file][way]
            assert outcome["weights"] == hashlib.sha256(content).hexdigest()
            # Versions sum in different orders, so outputs are equal up to rounding.
            np.testing.assert_allclose(outcome["outputs"], outputs, 1e-4, 1e-6)
            predictions = np.argmax(outcome["outputs"], 1)
            np.testing.assert_array_equal(predictions, outputs.argmax(1))


@pytest.mark.parametrize("name", GRADERS)
def test_loaders_do_what_the_reader_says(files, graders, name):
    """A loader gives the reader's weights exactly where the reader says so."""
    actual = graders.load(name)
    fixed = {
        outcome["load_weights"].get("weights"): outcome["load_weights"].get("outputs")
        for outcome in actual.values()
    }
    wrong = []
    for file in files.generated:
        verdict = files.verdicts[file]
        for way in WAYS:
            outcome = actual[file][way]
            same = verdict.weights is not None and outcome.get("weights") == (
                verdict.weights
            )
            promised = way in verdict.loads_in[LABELS[name]]
            if promised != same:
                found = outcome.get("error", "loads")
                wrong.append(f"{file}: {way}: promised {promised}, but {found}")
            elif same and verdict.exact:
                outputs = fixed[verdict.weights]
                if not np.allclose(outcome["outputs"], outputs, 1e-4, 1e-6):
                    wrong.append(f"{file}: {way}: gives other predictions")
    assert not wrong, "\n".join(wrong)


def test_other_networks_are_refused(files):
    wrong = [name for name, fixed in files.generated.items() if fixed is False]
    assert len(wrong) > 10
    assert not [name for name in wrong if files.verdicts[name].weights]


def test_nothing_that_every_loader_takes_is_refused(files, graders):
    """Uses the graders that ran before; -k may have left some out."""
    ran = graders.outcomes
    if len(ran) < 2:
        pytest.skip("fewer than two graders ran")
    wrong = []
    for file, fixed in files.generated.items():
        if files.verdicts[file].weights or fixed is not True:
            continue
        weights = {ran[name][file]["load_weights"].get("weights") for name in ran}
        models = {ran[name][file]["load_model"].get("weights") for name in ran}
        if len(weights) == 1 and None not in weights and models <= {*weights, None}:
            wrong.append(files.verdicts[file].error)
    assert not wrong, "\n".join(wrong)

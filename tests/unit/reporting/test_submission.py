import zipfile
from pathlib import Path

import pytest

from shears.reporting.submission import pack, package
from shears.runtime.errors import UserError
from shears.runtime.files import read_json, write_bytes, write_json
from shears.weight_files.canonical import write_weights
from tests.conftest import make_parameters

TEST = {"zeros": 5, "parameters": 9, "sparsity": 5 / 9, "accuracy": 0.8, "score": 0.7}
CHOICE = {
    "candidate": "lamp/seed_0/round_1",
    "reason": "the best",
    "validation": {"accuracy": 0.81, "score": 0.71, "images": 5000},
}
REFIT = {
    "images": 50_000,
    "validation_images": 5000,
    "candidate_test": {"accuracy": 0.79, "score": 0.69},
}


@pytest.mark.parametrize("refit", [None, REFIT])
def test_a_refit_is_declared_and_keeps_the_choices_validation_results(tmp_path, refit):
    weights, target = tmp_path / "a.h5", tmp_path / "my_model_weights.h5"
    write_weights(weights, make_parameters(0))
    manifest = tmp_path / "manifest.json"
    package(weights, target, manifest, choice=CHOICE, test=TEST, refit=refit)
    about = read_json(manifest)
    assert about["validation"] == {"accuracy": 0.81, "score": 0.71}
    assert about["test"] == {"accuracy": 0.8, "score": 0.7}
    assert about.get("refit") == refit
    pack(manifest, [target], tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        text = archive.read("README.txt").decode()
    assert ("trained on 50,000 images" in text) == (refit is not None)
    assert ("kept 5,000 of them for validation" in text) == (refit is not None)


@pytest.fixture
def files(tmp_path):
    manifest = {
        "sparsity": 0.98,
        "zeros": 1_225_841,
        "parameters": 1_250_858,
        "sha256": "ab" * 32,
        "test": {"accuracy": 0.85, "score": 0.915},
    }
    write_json(tmp_path / "manifest.json", manifest)
    write_bytes(tmp_path / "my_model_weights.h5", b"weights")
    write_bytes(tmp_path / "assignment_notebook.ipynb", b"notebook")
    return tmp_path


def packed(folder: Path, *names: str) -> Path:
    pack(folder / "manifest.json", [folder / n for n in names], folder / "a.zip")
    return folder / "a.zip"


def test_the_same_files_give_the_same_bytes(files):
    names = ("my_model_weights.h5", "assignment_notebook.ipynb")
    assert packed(files, *names).read_bytes() == packed(files, *names).read_bytes()


def test_without_part_a_the_readme_does_not_mention_it(files):
    with zipfile.ZipFile(packed(files, "my_model_weights.h5")) as archive:
        assert archive.namelist() == [
            *("my_model_weights.h5", "manifest.json", "README.txt")
        ]
        text = archive.read("README.txt").decode()
    assert "Part A" not in text
    assert "1,225,841 of 1,250,858" in text


def test_a_damaged_file_is_not_packed(files):
    (files / "my_model_weights.h5").write_bytes(b"wights")
    with pytest.raises(UserError, match="my_model_weights.h5"):
        packed(files, "my_model_weights.h5")
    assert not (files / "a.zip").exists()

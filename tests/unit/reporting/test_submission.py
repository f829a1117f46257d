import zipfile
from pathlib import Path

import pytest

from shears.reporting.submission import pack
from shears.runtime.errors import UserError
from shears.runtime.files import write_bytes, write_json


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

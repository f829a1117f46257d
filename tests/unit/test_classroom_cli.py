import importlib.util
import json
import os
import shutil

import numpy as np
import pytest

from shears.cli import main
from shears.data.dataset import Split, write_dataset
from shears.weight_files.canonical import write_weights
from tests.conftest import make_parameters
from tests.unit.classroom.test_uploads import put


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "w.h5"
    write_weights(path, make_parameters(0, zeros=0.9))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), np.uint8)
    split = Split(images, np.arange(20, dtype=np.uint8) % 10)
    write_dataset("data.h5", {"test": split})
    (tmp_path / "class/Ada").mkdir(parents=True)
    shutil.copyfile(weights, tmp_path / "class/Ada/my_model_weights.h5")
    put(tmp_path / "class/=Bob.h5", b"these are no weights")
    return tmp_path


@pytest.mark.slow
def test_a_class_is_scored_and_then_known(folder, capsys):
    arguments = ["leaderboard", "class", "--data", "data.h5"]
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "name", "score", "accuracy", "sparsity"]
    assert lines[1].split()[:2] == ["1", "Ada"]
    assert "students   2: 1 ranked, 1 refused; 2 uploads" in lines
    assert "files      2 read, 0 scores from the cache" in lines
    assert lines[-1] == "page       leaderboard/leaderboard.html"
    assert (folder / "leaderboard/leaderboard.html").is_file()
    assert main([*arguments, "--json", "--anonymous", "--output", "other"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["read"], about["cached"], about["anonymous"]) == (2, 0, True)
    assert main([*arguments, "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["read"], about["cached"], about["notes"]) == (1, 1, [])
    assert "not readable as HDF5" in about["students"][1]["refused"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none"], 2, "refused: none: No such file or directory; expected a folder"),
        (["empty"], 2, "refused: empty: found nothing in it, expected a folder or"),
        (["class", "--output", "./class"], 2, "refused: class: found the folder of"),
        (["data.h5"], 2, "refused: data.h5: Not a directory; expected a folder"),
        (["$SHEARS_NONE"], 2, "refused: submissions: found $SHEARS_NONE, but the"),
        (["class", "--data", "no.h5"], 1, "error: found no test images in no.h5"),
        (["class", "--data", "class/=Bob.h5"], 2, "refused: class/=Bob.h5: "),
        (["class", "--output", "data.h5"], 1, "error: data.h5: File exists; --output"),
    ],
)
def test_a_wrong_argument_is_one_line(folder, capsys, arguments, code, message):
    (folder / "empty").mkdir()
    if "--data" not in arguments:
        arguments = [*arguments, "--data", "data.h5"]
    assert main(["leaderboard", *arguments]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)


@pytest.mark.slow
def test_progress_is_shown_on_standard_error(folder, capsys, monkeypatch):
    monkeypatch.setattr("shears.classroom.leaderboard.OFTEN", 1)
    assert main(["leaderboard", "class", "--data", "data.h5", "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["1 of 2 files", "2 of 2 files"]
    assert json.loads(printed.out)["read"] == 2


def test_a_missing_package_is_one_line(folder, capsys, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "yaml" else find(name)
    )
    assert main(["leaderboard", "class", "--data", "data.h5"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the package yaml is missing, which a leaderboard")
    assert not os.path.exists("leaderboard")

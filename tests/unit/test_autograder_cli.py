import json
import zipfile

import numpy as np
import pytest

from shears import autograder_cli
from shears.classroom.part_b import IMAGES
from shears.cli import main
from shears.data.cifar10 import read_archive
from shears.data.dataset import Split, write_dataset
from shears.data.packed_images import split_digest, unpack


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Returns a function that runs `shears autograder` in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR10_ARCHIVE", raising=False)
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
    write_dataset("data.h5", {"test": Split(images, np.arange(7, dtype=np.uint8))})

    def run(*arguments) -> tuple[int, str, str]:
        code = main(["autograder", *map(str, arguments)])
        return code, *capsys.readouterr()

    return run


def test_the_zip_is_written_and_described(run, tmp_path):
    code, printed, _ = run("a.zip", "--parts", "b", "--data", "data.h5")
    assert code == 0
    assert "written    a.zip (0." in printed
    assert "part B     100 points" in printed
    assert "7, in the zip; of data.h5, not CIFAR-10's" in printed
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert len(unpack(archive.read(IMAGES)).labels) == 7


def test_the_teacher_chooses_points_and_downloaded_images(run):
    arguments = ("--parts", "b", "--images", "download", "--points-b", 40, "--json")
    code, printed, _ = run("a.zip", *arguments)
    about = json.loads(printed)
    assert code == 0
    assert about["points"] == {"b": 40}
    assert about["images"] is None
    assert IMAGES not in about["files"]


def test_the_official_images_are_recognised(run, good_archive, monkeypatch):
    digest = split_digest(read_archive(good_archive)[1])
    monkeypatch.setattr(autograder_cli, "TEST_IMAGES", digest)
    _, printed, _ = run("a.zip", "--parts", "b", "--data", good_archive)
    assert "10,000, in the zip; CIFAR-10's test images" in printed


def test_no_images_and_an_output_that_cannot_be_written_are_one_line(run, tmp_path):
    code, _, error = run("a.zip", "--parts", "b")
    assert code == 1
    assert error.startswith("error: found no test images")
    (tmp_path / "folder").mkdir()
    code, _, error = run("folder", "--parts", "b", "--data", "data.h5")
    assert code == 1
    assert error == "error: folder: Is a directory; expected a file to write\n"
    code, _, error = run("a.zip", "--parts", "b", "--data", tmp_path / "none.h5")
    assert (code, error.count("\n")) == (1, 1)
    assert not (tmp_path / "a.zip").exists()

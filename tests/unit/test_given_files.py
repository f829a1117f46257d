import argparse
import gzip

import numpy as np
import pytest

from shears.data.dataset import Split, write_dataset
from shears.given_files import (
    add_data_argument,
    add_file_arguments,
    find_data,
    positive,
    read_given,
    read_images_of,
)
from shears.runtime.errors import RefusedFile, UserError
from shears.weight_files.canonical import write_weights
from shears.weight_files.reader import LIMITS
from tests.conftest import make_parameters


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_file_arguments(parser, ("first", "second"))
    add_data_argument(parser)
    return parser.parse_args(arguments)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    write_weights(folder / "a.h5", make_parameters(0, zeros=0.9))
    splits = {
        name: Split(
            np.full((count, 32, 32, 3), count, np.uint8), np.zeros(count, np.uint8)
        )
        for name, count in (("test", 3), ("train", 5))
    }
    write_dataset(folder / "data.h5", splits)
    return folder


def test_files_and_limits_are_arguments(monkeypatch):
    monkeypatch.setenv("PLACE", "somewhere")
    options = parse("$PLACE/a.h5", "b.keras", "--max-memory=5", "--data=$PLACE/d.h5")
    assert (options.first, options.second) == ("somewhere/a.h5", "b.keras")
    assert options.data == "somewhere/d.h5"
    assert (options.max_memory, options.max_seconds) == (5, LIMITS.processor)
    assert not options.json
    assert parse("a", "b").max_memory == LIMITS.memory >> 20


@pytest.mark.parametrize("text", ["0", "-1", "1000000", "1.5", "", "x", "1e3"])
def test_a_limit_is_a_whole_number(text):
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 to 999999"):
        positive(text)
    assert positive("999999") == 999_999


def test_a_file_is_read_within_the_limits(folder, monkeypatch):
    path = str(folder / "a.h5")
    found = read_given(path, parse(path, "b"))
    expected = make_parameters(0, zeros=0.9)
    np.testing.assert_array_equal(found.parameters.vector, expected.vector)
    limits = []
    monkeypatch.setattr(
        "shears.given_files.read_weights_file", lambda _, limit: limits.append(limit)
    )
    read_given(path, parse(path, "b", "--max-memory=7", "--max-seconds=2"))
    assert limits == [LIMITS._replace(memory=7 << 20, processor=2, wall=6)]


def test_a_bad_file_is_refused(tmp_path):
    path = tmp_path / "bad.h5"
    path.write_bytes(b"no weights")
    with pytest.raises(RefusedFile, match="bad.h5: "):
        read_given(str(path), parse(str(path), "b"))


def test_images_are_looked_for_in_the_workflows_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR10_ARCHIVE", raising=False)
    with pytest.raises(UserError, match="found no test images in results/dataset.h5"):
        find_data(None)
    archive = "resources/cifar-10-binary.tar.gz"
    (tmp_path / "folder").mkdir()
    for place, environment in ((archive, ""), ("folder", "folder")):
        if not environment:
            (tmp_path / place).parent.mkdir()
            (tmp_path / place).touch()
        else:
            monkeypatch.setenv("CIFAR10_ARCHIVE", environment)
        assert find_data(None) == place
    assert find_data(archive) == archive
    with pytest.raises(UserError, match="found no test images in missing; give"):
        find_data("missing")


def test_a_split_is_read(folder):
    data = str(folder / "data.h5")
    assert len(read_images_of(data, given=True).images) == 3
    train = read_images_of(data, "train", given=False)
    assert (train.images == 5).all() and len(train.labels) == 5


def test_of_an_archive_the_split_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr("shears.given_files.read_archive", lambda _: ("train", "test"))
    for split in ("train", "test"):
        assert read_images_of(str(tmp_path), split, given=True) == split


def test_a_split_without_images_is_refused(tmp_path):
    path = tmp_path / "data.h5"
    none = Split(np.zeros((0, 32, 32, 3), np.uint8), np.zeros(0, np.uint8))
    write_dataset(path, {"test": none})
    with pytest.raises(RefusedFile, match="its test split has no images"):
        read_images_of(str(path), given=True)


def test_an_archive_is_known_by_its_contents_whatever_its_name(monkeypatch, tmp_path):
    monkeypatch.setattr("shears.given_files.read_archive", lambda _: ("train", "test"))
    path = tmp_path / "data.h5"
    path.write_bytes(gzip.compress(b"an archive"))
    assert read_images_of(str(path), given=True) == "test"


@pytest.mark.parametrize("split", ["train", "test"])
def test_only_what_was_given_is_refused(folder, tmp_path, split):
    data = tmp_path / "data.h5"
    data.write_bytes((folder / "a.h5").read_bytes())
    with pytest.raises(RefusedFile, match=f"not a prepared data set .its {split}"):
        read_images_of(str(data), split, given=True)
    with pytest.raises(UserError) as error:
        read_images_of(str(data), split, given=False)
    assert not isinstance(error.value, RefusedFile)

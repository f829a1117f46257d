import fcntl
import re

import h5py
import numpy as np
import pytest

from shears.data.dataset import Split, read_split, write_dataset
from shears.weight_files.canonical import write_weights
from tests.conftest import make_parameters, refused

DATA = Split(np.zeros((5, 32, 32, 3), np.uint8), np.arange(5, dtype=np.uint8))


def test_dataset_round_trip_and_a_split_is_read_alone(tmp_path):
    path = tmp_path / "dataset.h5"
    write_dataset(path, {"train": DATA, "test": DATA})
    with h5py.File(path, "r+") as file:
        del file["test"]
    (tmp_path / ".dataset.h5.sha256").unlink()
    np.testing.assert_array_equal(read_split(path, "train").labels, DATA.labels)
    with refused(path, "not a prepared data set (its test split"):
        read_split(path, "test")


@pytest.mark.parametrize("kind", ["another HDF5 file", "text", "cut off"])
def test_a_wrong_file_is_not_called_damaged(tmp_path, kind):
    path = tmp_path / "a.h5"
    write_weights(path, make_parameters(0))  # a whole file, with its checksum
    if kind != "another HDF5 file":
        content = b"text" if kind == "text" else path.read_bytes()[:-100]
        path.write_bytes(content)
        (tmp_path / ".a.h5.sha256").unlink()
    with refused(path, "not a prepared data set") as caught:
        read_split(path, "test")
    assert not re.search("damaged|delete", str(caught.value))


@pytest.mark.parametrize(
    ("images", "labels", "wrong"),
    [
        ((10**9, 32, 32, 3), (10**9,), "labels of shape (1000000000,)"),
        ((1, 2**40), (1,), "images of shape (1, 1099511627776)"),
        ((1, 32, 32, 3), (1, 2**40), "labels of shape (1, 1099511627776)"),
        ((2, 32, 32, 3), (1,), "images of shape (2, 32, 32, 3)"),
    ],
)
def test_no_more_is_read_than_a_data_set_has(tmp_path, images, labels, wrong):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        for name, shape in {"images": images, "labels": labels}.items():
            file.create_dataset(f"test/{name}", shape, np.uint8, chunks=True)
    with refused(path, f"not a prepared data set (its test split: {wrong}"):
        read_split(path, "test")


def test_a_file_that_is_being_written_is_not_called_damaged(tmp_path):
    path = tmp_path / "dataset.h5"
    write_dataset(path, {"test": DATA})
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another program has it open"):
            read_split(path, "test")

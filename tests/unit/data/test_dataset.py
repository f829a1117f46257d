import h5py
import numpy as np
import pytest

from shears.data.dataset import Split, read_split, write_dataset
from shears.runtime.errors import UserError


def test_dataset_round_trip_and_a_split_is_read_alone(tmp_path):
    path = tmp_path / "dataset.h5"
    data = Split(np.zeros((5, 32, 32, 3), np.uint8), np.arange(5, dtype=np.uint8))
    write_dataset(path, {"train": data, "test": data})
    with h5py.File(path, "r+") as file:
        del file["test"]
    (tmp_path / ".dataset.h5.sha256").unlink()
    np.testing.assert_array_equal(read_split(path, "train").labels, data.labels)
    with pytest.raises(UserError, match="dataset.h5: damaged .its test split"):
        read_split(path, "test")

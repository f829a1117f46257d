import io

import h5py
import numpy as np
import pytest

from shears.model.architecture import NAMES, SHAPES
from shears.runtime.errors import UserError
from shears.weight_files.layouts import GRADERS, read_keras_2, read_keras_3
from shears.weight_files.untrusted_hdf5 import InspectedFile
from tools.keras_files import pattern

ARRAYS = pattern(SHAPES)
LAYERS = [name.split("/")[0] for name in NAMES[::2]]


def keras_3(root: str = "layers", names: list[str] = LAYERS) -> h5py.File:
    """Makes a file of Keras 3's layout in memory."""
    file = h5py.File(io.BytesIO(), "w")
    file.create_group("vars")
    for number, name in enumerate(names):
        for i in range(2):
            file[f"{root}/{name}/vars/{i}"] = ARRAYS[2 * number + i]
    return file


def test_keras_3s_arrays_are_found_by_name():
    with keras_3() as file:
        read = read_keras_3(InspectedFile(file, {}), "layers")
    assert all(map(np.array_equal, read.arrays, ARRAYS))
    assert read.graders == {*GRADERS[1:]}
    assert len(read.used) == 12


def test_only_keras_3_needs_no_group_of_the_model():
    with keras_3() as file:
        del file["vars"]
        read = read_keras_3(InspectedFile(file, {}), "layers")
    assert read.graders == {GRADERS[-1]}


GAP = ["conv2d", "conv2d_1", "conv2d_3", "conv2d_4", "dense", "dense_1"]


def test_a_gap_in_the_numbers_is_refused_but_in_tensorflow_2_13s_layout():
    with keras_3("layers", GAP) as file:
        with pytest.raises(
            UserError, match="^layers: found the layers conv2d, conv2d_1"
        ):
            read_keras_3(InspectedFile(file, {}), "layers")
    root = "_layer_checkpoint_dependencies"
    with keras_3(root, GAP) as file:
        assert read_keras_3(InspectedFile(file, {}), root).graders == set()
    with keras_3(root) as file:
        assert read_keras_3(InspectedFile(file, {}), root).graders == {GRADERS[-1]}


def test_a_layer_that_is_listed_in_a_group_is_found_there():
    with h5py.File(io.BytesIO(), "w") as file:
        group = file.create_group("inner/most")
        group.attrs["layer_names"] = np.array([f"a/{n}" for n in LAYERS], "S")
        for number, name in enumerate(LAYERS):
            layer = group.create_group(f"a/{name}")
            layer.attrs["weight_names"] = np.array(["b/0", "1"], "S")
            layer["b/0"], layer["1"] = ARRAYS[2 * number : 2 * number + 2]
        read = read_keras_2(InspectedFile(file, {}), "inner/most")
    assert all(map(np.array_equal, read.arrays, ARRAYS))
    assert "inner/most/a/dense/b/0" in read.used
    assert read.graders == {*GRADERS}

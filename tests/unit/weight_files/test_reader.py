import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.model.architecture import SHAPES
from shears.model.parameters import Parameters
from shears.runtime.errors import UserError
from shears.runtime.walls import Limits
from shears.weight_files import reader
from shears.weight_files.reader import loaders, read_weights_file
from tests.conftest import make_parameters, refused
from tests.unit.weight_files.bad_files import (
    BAD,
    NOT_HDF5,
    arrays_of,
    flip_bits,
    names_of,
    set_layers,
)
from tests.unit.weight_files.genuine_files import FOLDER, GENUINE, unpack
from tests.unit.weight_files.hostile_files import HOSTILE
from tools.keras_files import pattern

GRADERS = {
    "TensorFlow 2.2": "tensorflow-2.2",
    "TensorFlow 2.15": "tensorflow-2.15",
    "tf_keras 2.21": "tf_keras-2.21",
    "Keras 3.15": "keras-3.15",
}
WRITTEN = make_parameters(0, zeros=0.9)


def test_there_are_genuine_files():
    assert len(GENUINE) >= 40


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_files_are_read_and_their_loaders_are_known(tmp_path, name):
    path = unpack(name, tmp_path)
    contents = read_weights_file(path)
    assert contents.parameters.vector.dtype == np.float32
    expected = Parameters.from_arrays(pattern(SHAPES))
    np.testing.assert_array_equal(contents.parameters.vector, expected.vector)
    assert bool(contents.described) == (".save." in name)
    writer = name.partition("-")[2].split(".")[:2]
    old = name.startswith(("tensorflow-2.1.", "tensorflow-2.2."))
    if not contents.layout.endswith("3 weights") and not old:
        assert contents.writer.split(".")[:2] == writer
    state = [text for text in contents.ignored if "optimizer" in text]
    with_state = ".save." in name or (name.endswith(".weights.h5") and not old)
    assert len(state) == with_state
    predicted = loaders(contents, path)
    assert GRADERS.keys() == predicted.keys()
    for grader, ways in predicted.items():
        measured = json.loads(
            (FOLDER / f"{GRADERS[grader]}.loads.json").read_text(encoding="utf-8")
        )
        assert ways == measured[name], grader


def test_keras_3_weights_under_another_name_load_nowhere(tmp_path):
    name = "keras-3.15.sequential.save_weights.weights.h5"
    path = unpack(name, tmp_path).rename(tmp_path / "my_model_weights.h5")
    assert not any(loaders(read_weights_file(path), path).values())


def test_our_own_file_is_read_and_loads_everywhere(good):
    contents = read_weights_file(good)
    np.testing.assert_array_equal(contents.parameters.vector, WRITTEN.vector)
    found = loaders(contents, good)
    assert found.keys() == GRADERS.keys()
    assert all(ways == ["load_weights", "load_model"] for ways in found.values())
    assert contents.ignored == []


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path, good, kind):
    path = Path(shutil.copyfile(good, tmp_path / "bad.h5"))
    spoil, message = BAD[kind]
    with h5py.File(path, "r+") as file:
        spoil(file)
    with refused(path, message):
        read_weights_file(path)


def every_array(change):
    def edit(file: h5py.File) -> None:
        for name in names_of(file):
            for path, array in arrays_of(file, name).items():
                del file[name][path]
                file[name].create_dataset(path, data=change(array))

    return edit


def without_attributes(*keys: str):
    def edit(file: h5py.File) -> None:
        for group in (file, file["model_weights"]):
            for key in keys:
                del group.attrs[key]

    return edit


def with_other_names(file: h5py.File) -> None:
    """Names layers and arrays as nobody does, and lists layers without arrays."""
    layers = {}
    for number, name in enumerate(names_of(file)):
        arrays = arrays_of(file, name).values()
        layers[f"z{9 - number}"] = {f"a/{i}": x for i, x in enumerate(arrays)}
        layers[f"empty_{number}"] = {}
    set_layers(file, layers)


def with_long_lists(file: h5py.File) -> None:
    """Stores lists as Keras 2 does if they are too long for one attribute."""
    del file["model_weights"]
    names = names_of(file)
    del file.attrs["layer_names"]
    for number, name in enumerate(names):
        file.attrs[f"layer_names{number}"] = np.array([name], "S")
        arrays = file[name].attrs["weight_names"]
        del file[name].attrs["weight_names"]
        for part, array in enumerate(arrays):
            file[name].attrs[f"weight_names{part}"] = np.array([array])


def with_unicode(file: h5py.File) -> None:
    """Stores names as h5py stores str: TensorFlow 2.2 does not decode them."""
    names = np.array(names_of(file), h5py.string_dtype())
    for group in (file, file["model_weights"]):
        group.attrs["layer_names"] = names


def with_more_arrays(file: h5py.File) -> None:
    for number in range(7):
        file[f"dense/more/{number}"] = np.ones(3, np.float32)


def without_model_weights(file: h5py.File) -> None:
    del file["model_weights"]


def with_bad_model_weights(file: h5py.File) -> None:
    """Leaves the layers at the root, which load_weights reads, as they are."""
    del file["model_weights"]
    file.create_group("model_weights").attrs["layer_names"] = np.array([], "S")


def with_theano_for_nobody(file: h5py.File) -> None:
    """Gives kernels to flip to load_model, which does not know an initialiser."""
    file["model_weights"].attrs["backend"] = np.bytes_("theano")
    model = json.loads(file.attrs["model_config"])
    model["config"]["layers"][1]["config"]["kernel_initializer"] = "Mine"
    file.attrs["model_config"] = np.bytes_(json.dumps(model))


# How an open file is changed, what is said about it, and which ways of loading fail.
OLD, ALL = ["TensorFlow 2.2"], [*GRADERS]
LOADS = {
    "no version": (without_attributes("keras_version"), [], {}),
    "no backend": (without_attributes("backend"), [], {}),
    "Keras 1": (
        lambda f: f.attrs.__setitem__("keras_version", np.bytes_("1.2.2")),
        [],
        {},
    ),
    "other names": (with_other_names, [], {"load_model": ALL}),
    "long lists": (with_long_lists, [], {"load_model": ALL}),
    "unicode": (with_unicode, [], {"load_weights": OLD, "load_model": OLD}),
    "float16": (
        every_array(lambda array: array.astype("f2")),
        ["the dtype float16 of arrays, read as float32"],
        {},
    ),
    "float64": (
        every_array(lambda array: array.astype("f8") * (1 + 1e-12)),
        ["the dtype float64 of arrays, read as float32"],
        {},
    ),
    "another byte order": (every_array(lambda array: array.astype(">f4")), [], {}),
    "integers": (
        every_array(lambda array: array.astype(int)),
        ["the dtype int64 of arrays, read as float32"],
        {},
    ),
    "more arrays": (
        with_more_arrays,
        [
            *(f"the array dense/more/{i}, which no layer names" for i in range(5)),
            "9 more such arrays",
        ],
        {},
    ),
    "no model_weights": (without_model_weights, [], {"load_model": ALL}),
    "bad model_weights": (
        with_bad_model_weights,
        [
            "what load_model would refuse (model_weights: found 0 layers with arrays "
            "(none), expected 6: four convolutions and two dense layers)"
        ],
        {"load_model": ALL},
    ),
    "Theano's kernels for nobody": (
        with_theano_for_nobody,
        [
            "what load_model would refuse (model_weights/backend: found 'theano', "
            "expected 'tensorflow': loaders would flip its kernels)"
        ],
        {"load_model": ALL},
    ),
}


@pytest.mark.parametrize("kind", LOADS)
def test_what_every_loader_takes_is_read(tmp_path, good, kind):
    change, notes, failing = LOADS[kind]
    path = Path(shutil.copyfile(good, tmp_path / "other.h5"))
    with h5py.File(path, "r+") as file:
        change(file)
    contents = read_weights_file(path)
    expected = WRITTEN.vector
    if kind == "float16":
        expected = expected.astype("f2").astype("f4")
    elif kind == "integers":
        expected = expected.astype(int).astype("f4")
    assert contents.parameters.vector.tobytes() == expected.tobytes()
    assert contents.ignored == notes
    assert (contents.writer == "of an unknown version") == (kind == "no version")
    for grader, ways in loaders(contents, path).items():
        fail = {way for way, graders in failing.items() if grader in graders}
        assert {*ways} == {"load_weights", "load_model"} - fail


@pytest.mark.parametrize(
    ("suffix", "weights", "model"),
    [
        (".h5", ALL, ALL),
        (".hdf5", ALL, ALL),
        (".weights.h5", OLD, ALL),
        (".keras", ALL[:3], ALL[:3]),
        (".bin", ALL[:3], ALL[:3]),
        ("", ALL[:3], ALL[:3]),
    ],
)
def test_which_loaders_take_a_name_is_known(good, suffix, weights, model):
    found = loaders(read_weights_file(good), f"my_weights{suffix}")
    assert [grader for grader, ways in found.items() if "load_weights" in ways] == (
        weights
    )
    assert [grader for grader, ways in found.items() if "load_model" in ways] == model


BAD_3 = {
    "a bias is missing": (
        lambda f: f.__delitem__("layers/dense/vars/1"),
        "layers/dense/vars/1: found no array",
    ),
    "batch norm": (
        lambda f: f.copy("layers/dense", "layers/batch_normalization"),
        "layers/batch_normalization/vars/0: found an array that no layer",
    ),
    "a layer is missing": (
        lambda f: f.__delitem__("layers/dense"),
        "layers: found 1 dense layers with weights, expected 2",
    ),
    "another layer": (
        lambda f: f.copy("layers/dense", "layers/dense_2"),
        "layers: found 3 dense layers with weights, expected 2",
    ),
    "another shape": (
        lambda f: (
            f.__delitem__("layers/conv2d/vars/0"),
            f.create_dataset(
                "layers/conv2d/vars/0", data=np.zeros((3, 3, 32, 3), "f4")
            ),
        ),
        "found shape (3, 3, 32, 3), expected (3, 3, 3, 32): it looks transposed",
    ),
}


@pytest.mark.parametrize("kind", BAD_3)
def test_bad_keras_3_files_are_refused_in_one_line(tmp_path, kind):
    path = unpack("keras-3.15.sequential.save_weights.weights.h5", tmp_path)
    spoil, message = BAD_3[kind]
    with h5py.File(path, "r+") as file:
        spoil(file)
    with refused(path, message):
        read_weights_file(path)


@pytest.mark.parametrize("kind", NOT_HDF5)
def test_files_that_are_not_hdf5_are_refused_in_one_line(tmp_path, good, kind):
    path = tmp_path / "bad.h5"
    change, message = NOT_HDF5[kind]
    path.write_bytes(change(good.read_bytes()))
    with refused(path, message):
        read_weights_file(path)


def test_a_folder_or_a_missing_file_is_refused_in_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "none.h5"):
        with refused(path, "expected a weights file"):
            read_weights_file(path)


@pytest.mark.slow
@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_crashes_reading(tmp_path, good, data):
    path = tmp_path / "bad.h5"
    path.write_bytes(flip_bits(data, good.read_bytes()))
    try:
        assert np.isfinite(read_weights_file(path).parameters.vector).all()
    except UserError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_is_made_to_do_harm_is_refused_in_one_line(tmp_path, kind):
    make, message = HOSTILE[kind]
    make(path := tmp_path / "bad.h5")
    with refused(path, message):
        read_weights_file(path, Limits(processor=2, wall=30, memory=64 << 20))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            UnboundLocalError("no variable 'error'"),
            r"HDF5 \(UnboundLocalError\): it is",
        ),
        (ValueError("bad heap free list"), r"HDF5 \(bad heap free list\): it is"),
    ],
)
def test_the_faults_of_h5py_itself_are_not_quoted(monkeypatch, good, error, message):
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(reader, "InspectedFile", fail)
    with good.open("rb") as file, pytest.raises(UserError, match=message):
        reader.read_contents(file)


def test_names_in_a_file_cannot_control_the_terminal(tmp_path, good):
    path = tmp_path / "bad.h5"
    path.write_bytes(good.read_bytes())
    name = "a\x1b[2Jb\nc\u202e" + 500 * "d"
    with h5py.File(path, "a") as file:
        file[name] = np.zeros(3, np.float32)
    (note,) = read_weights_file(path).ignored
    assert note.startswith(r"the array a\x1b[2Jb c\u202eddd")
    assert len(note) < 200
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = h5py.SoftLink("/nowhere")
    with refused(path, r"a\x1b[2Jb c\u202eddd"):
        read_weights_file(path)


LONG = "x" * 2000


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (
            lambda f: f.attrs.create("layer_names", np.array([LONG], "S")),
            "xxx: found no group, expected one: layer_names lists it",
        ),
        (
            lambda f: f.__setitem__(LONG, h5py.SoftLink("/nowhere")),
            "xxx: found a soft link, expected the data itself",
        ),
        (
            lambda f: f["dense"].attrs.create("weight_names", np.array([LONG], "S")),
            "xxx: found no array, expected one: weight_names lists it",
        ),
    ],
)
def test_a_long_name_does_not_hide_the_reason(tmp_path, good, spoil, reason):
    path = Path(shutil.copyfile(good, tmp_path / "bad.h5"))
    with h5py.File(path, "a") as file:
        spoil(file)
    with refused(path, reason):
        read_weights_file(path)


def test_names_in_a_keras_3_file_cannot_control_the_terminal(tmp_path):
    path = unpack("keras-3.15.sequential.save_weights.weights.h5", tmp_path)
    before = read_weights_file(path).ignored
    name = "\x1b[2J\x1b[Hscore\n1.0\x1b[8m"
    with h5py.File(path, "a") as file:
        file[f"layers/{name}/seed_generator/vars/0"] = np.ones(2, np.uint32)
    (note,) = {*read_weights_file(path).ignored} - {*before}
    shown = r"layers/\x1b[2J\x1b[Hscore 1.0\x1b[8m"
    assert note == f"the random-number state in {shown}/seed_generator/vars/0"
    with h5py.File(path, "a") as file:
        file[f"layers/{name}/vars/0"] = np.ones(2, np.float32)
    with refused(path, f"{shown}/vars/0: found an array that no layer"):
        read_weights_file(path)


def test_a_checkpoint_of_tensorflow_is_refused_in_one_line(tmp_path):
    for name in ("ckpt.index", "ckpt.data-00000-of-00001"):
        (tmp_path / name).write_bytes(b"checkpoint")
        with refused(tmp_path / name, "save the network with Keras as .h5 or .keras"):
            read_weights_file(tmp_path / name)
    with refused(tmp_path / "ckpt", "found a checkpoint of TensorFlow, expected"):
        read_weights_file(tmp_path / "ckpt")
    with refused(tmp_path, "save the network with Keras as .h5 or .keras"):
        read_weights_file(tmp_path)

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.model.architecture import LAYERS, SHAPES
from shears.model.parameters import Parameters
from shears.runtime.errors import UserError
from shears.weight_files.canonical import write_weights
from shears.weight_files.reader import loaders, read_weights_file
from tests.conftest import make_parameters, refused
from tests.unit.weight_files.bad_files import BAD, NOT_HDF5, flip_bits, store
from tests.unit.weight_files.genuine_files import FOLDER, GENUINE, unpack
from tools.keras_files import pattern, table

GRADERS = {
    "TensorFlow 2.2": "tensorflow-2.2",
    "TensorFlow 2.15": "tensorflow-2.15",
    "tf_keras 2.21": "tf_keras-2.21",
    "Keras 3.15": "keras-3.15",
}
WRITTEN = make_parameters(0, zeros=0.9)


def test_there_are_genuine_files():
    assert len(GENUINE) >= 34


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_files_are_read_and_their_loaders_are_known(tmp_path, name):
    path = unpack(name, tmp_path)
    contents = read_weights_file(path)
    assert contents.parameters.vector.dtype == np.float32
    expected = Parameters.from_arrays(pattern(SHAPES))
    np.testing.assert_array_equal(contents.parameters.vector, expected.vector)
    assert bool(contents.described) == (".save.h5" in name)
    writer = name.partition("-")[2].split(".")[:2]
    old = name.startswith(("tensorflow-2.1.", "tensorflow-2.2."))
    if contents.layout.startswith("Keras 2") and not old:
        assert contents.writer.split(".")[:2] == writer
    state = [text for text in contents.ignored if "optimizer" in text]
    with_state = ".save.h5" in name or (name.endswith(".weights.h5") and not old)
    assert len(state) == with_state
    for grader, ways in loaders(contents, path).items():
        measured = json.loads((FOLDER / f"{GRADERS[grader]}.loads.json").read_text())
        assert ways == measured[name], grader


def test_keras_3_weights_under_another_name_load_nowhere(tmp_path):
    name = "keras-3.15.sequential.save_weights.weights.h5"
    path = unpack(name, tmp_path).rename(tmp_path / "my_model_weights.h5")
    assert not any(loaders(read_weights_file(path), path).values())


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    path = tmp_path_factory.mktemp("ours") / "weights.h5"
    write_weights(path, WRITTEN)
    return path


def test_our_own_file_is_read_and_loads_everywhere(ours):
    contents = read_weights_file(ours)
    np.testing.assert_array_equal(contents.parameters.vector, WRITTEN.vector)
    found = loaders(contents, ours)
    assert found.keys() == GRADERS.keys()
    assert all(ways == ["load_weights", "load_model"] for ways in found.values())
    assert contents.ignored == []


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True},
        {"compression": "lzf"},
        {"fletcher32": True},
        {"chunks": (2304, 512)},
        {},
    ],
)
def test_lossless_filters_of_hdf5_are_read(tmp_path, ours, options):
    path = Path(shutil.copyfile(ours, tmp_path / "a.h5"))
    with h5py.File(path, "r+") as file:
        store(file, **options)
    np.testing.assert_array_equal(
        read_weights_file(path).parameters.vector, WRITTEN.vector
    )


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_one_line(tmp_path, ours, kind):
    path = Path(shutil.copyfile(ours, tmp_path / "bad.h5"))
    spoil, message = BAD[kind]
    with h5py.File(path, "r+") as file:
        spoil(file)
    with refused(path, message):
        read_weights_file(path)


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


def layer_of(model: dict, kind: str, number: int = 0) -> dict:
    """Finds a layer's configuration by its class."""
    layers = model["config"]["layers"]
    return [x for x in layers if x["class_name"] == kind][number]["config"]


def insert(model: dict, place: int, kind: str, **config) -> None:
    model["config"]["layers"].insert(place, {"class_name": kind, "config": config})


BAD_MODELS = {
    "a Lambda layer": (
        lambda m: insert(m, 3, "Lambda", name="l", function=["4wEAAAAA", None, None]),
        'layers[3] (Lambda): found "Lambda", expected',
    ),
    "tanh": (
        lambda m: layer_of(m, "Conv2D", 1).update(activation="tanh"),
        'activation: found "tanh", expected "relu"',
    ),
    "no softmax": (
        lambda m: layer_of(m, "Dense", 1).update(activation="linear"),
        'activation: found "linear", expected "softmax"',
    ),
    "batch norm": (
        lambda m: insert(m, 2, "BatchNormalization", name="b"),
        'found "BatchNormalization", expected "Conv2D"',
    ),
    "padding": (
        lambda m: layer_of(m, "Conv2D", 1).update(padding="same"),
        'padding: found "same", expected "valid"',
    ),
    "strides": (
        lambda m: layer_of(m, "Conv2D", 0).update(strides=[2, 2]),
        "strides: found [2, 2], expected [1, 1]",
    ),
    "dilation": (
        lambda m: layer_of(m, "Conv2D", 0).update(dilation_rate=[2, 2]),
        "dilation_rate: found [2, 2]",
    ),
    "wide pooling": (
        lambda m: layer_of(m, "MaxPooling2D").update(pool_size=[3, 3]),
        "pool_size: found [3, 3]",
    ),
    "average pooling": (
        lambda m: m["config"]["layers"][3].update(class_name="AveragePooling2D"),
        'found "AveragePooling2D", expected "MaxPooling2D"',
    ),
    "no bias": (
        lambda m: layer_of(m, "Dense", 0).update(use_bias=False),
        "use_bias: found false, expected true",
    ),
    "channels first": (
        lambda m: layer_of(m, "Conv2D", 0).update(data_format="channels_first"),
        'data_format: found "channels_first"',
    ),
    "another width": (
        lambda m: layer_of(m, "Dense", 0).update(units=256),
        "units: found 256, expected 512",
    ),
    "half precision": (
        lambda m: layer_of(m, "Dense", 0).update(dtype="float16"),
        'dtype: found "float16", expected "float32"',
    ),
    "mixed precision": (
        lambda m: layer_of(m, "Dense", 0).update(
            dtype={"class_name": "Policy", "config": {"name": "mixed_bfloat16"}}
        ),
        'dtype: found "mixed_bfloat16"',
    ),
    "another input": (
        lambda m: layer_of(m, "InputLayer").update(batch_input_shape=[None, 28, 28, 1]),
        "input shape: found [null, 28, 28, 1]",
    ),
    "an input that is a number": (
        lambda m: layer_of(m, "InputLayer").update(batch_input_shape=5),
        "input shape: found 5, expected [32, 32, 3]",
    ),
    "an extra layer": (
        lambda m: insert(m, 13, "Dense", name="d", units=10, activation="softmax"),
        "expected the end, after 9 layers",
    ),
    "a missing layer": (
        lambda m: m["config"]["layers"].pop(),
        "layers: found 8, expected 9",
    ),
    "a nested model": (
        lambda m: insert(m, 1, "Sequential", name="s", layers=[]),
        'found "Sequential", expected "Conv2D"',
    ),
    "another class": (
        lambda m: m.update(class_name="Evil"),
        'class_name: found "Evil", expected Sequential',
    ),
    "no layers": (lambda m: m["config"].pop("layers"), "layers: found null, expected"),
    "a layer that is text": (
        lambda m: m["config"]["layers"].insert(0, "Conv2D"),
        'layers[0]: found "Conv2D", expected a mapping',
    ),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_other_networks_are_refused_in_one_line(tmp_path, ours, kind):
    path = Path(shutil.copyfile(ours, tmp_path / "bad.h5"))
    spoil, message = BAD_MODELS[kind]
    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        spoil(model)
        file.attrs["model_config"] = np.bytes_(json.dumps(model))
    with refused(path, message):
        read_weights_file(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found no JSON"),
        ("{", "found no JSON"),
        ("[]", "model: found [], expected a mapping"),
        ("[" * 50_000, "found no JSON"),
    ],
)
def test_a_malformed_model_config_is_refused_in_one_line(tmp_path, ours, text, message):
    path = Path(shutil.copyfile(ours, tmp_path / "bad.h5"))
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = text
    with refused(path, message):
        read_weights_file(path)


@pytest.mark.parametrize("name", [n for n in GENUINE if "functional.save.h5" in n])
def test_a_model_that_forks_is_refused_in_one_line(tmp_path, name):
    path = unpack(name, tmp_path)
    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        layers = model["config"]["layers"]
        # The second convolution takes the input of the first.
        layers[2]["inbound_nodes"] = layers[1]["inbound_nodes"]
        file.attrs["model_config"] = json.dumps(model)
    with refused(path, "expected the previous layer as its input"):
        read_weights_file(path)


@pytest.mark.parametrize("kind", NOT_HDF5)
def test_files_that_are_not_hdf5_are_refused_in_one_line(tmp_path, ours, kind):
    path = tmp_path / "bad.h5"
    change, message = NOT_HDF5[kind]
    path.write_bytes(change(ours.read_bytes()))
    with refused(path, message):
        read_weights_file(path)


def test_a_folder_or_a_missing_file_is_refused_in_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "none.h5"):
        with refused(path, "expected a weights file"):
            read_weights_file(path)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_crashes_reading(tmp_path, ours, data):
    path = tmp_path / "bad.h5"
    path.write_bytes(flip_bits(data, ours.read_bytes()))
    try:
        assert np.isfinite(read_weights_file(path).parameters.vector).all()
    except UserError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)


def test_names_in_a_file_cannot_control_the_terminal(tmp_path, ours):
    path = tmp_path / "bad.h5"
    path.write_bytes(ours.read_bytes())
    with h5py.File(path, "a") as file:
        file["a\x1b[2Jb\nc\u202e" + 500 * "d"] = np.zeros(3, np.float32)
    with refused(path, r"a\x1b[2Jb c\u202eddd"):
        read_weights_file(path)


def test_no_two_layers_have_kernels_of_the_same_shape():
    # "layers in another order" is found by shapes alone.
    assert len({layer.kernel for layer in LAYERS}) == len(LAYERS)


def test_the_documented_table_is_the_measured_one(capsys):
    table(str(FOLDER))
    page = Path(__file__).parents[3] / "docs/scorer.md"
    assert f"<!-- loads -->\n{capsys.readouterr().out}<!-- end -->" in page.read_text()

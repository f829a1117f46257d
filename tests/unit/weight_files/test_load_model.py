import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from shears.model.architecture import SHAPES
from shears.runtime.errors import UserError
from shears.weight_files.layouts import GRADERS
from shears.weight_files.load_model import KEYS, model_graders
from shears.weight_files.model_config import check_model_config
from shears.weight_files.reader import loaders, read_weights_file
from tests.unit.weight_files.genuine_files import GENUINE, unpack
from tools.keras_files import pattern

WHOLE = [name for name in GENUINE if name.endswith(".save.h5")]
TF_2_2, TF_2_15, TF_KERAS, KERAS_3 = GRADERS


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, dict]:
    """Reads the descriptions that genuine versions of Keras wrote."""
    folder = tmp_path_factory.mktemp("models")
    models = {}
    for name in WHOLE:
        with h5py.File(unpack(name, folder)) as file:
            models[name] = json.loads(file.attrs["model_config"])
    return models


def graders(model: dict, training: object = None, *, archive: bool = False) -> set[str]:
    description = check_model_config(json.dumps(model))
    return {*model_graders(description, json.dumps(training), archive=archive)}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tensorflow-2.2.functional.save.h5", {*GRADERS}),
        ("tensorflow-2.2.sequential.save.h5", {*GRADERS} - {KERAS_3}),
        ("tensorflow-2.15.functional.save.h5", {*GRADERS} - {TF_2_2}),
        ("tf_keras-2.21.sequential.save.h5", {TF_KERAS, KERAS_3}),
        ("keras-3.15.sequential.save.h5", {KERAS_3}),
    ],
)
def test_the_description_tells_who_builds_the_model(models, name, expected):
    assert graders(models[name]) == expected


def test_an_unknown_key_or_class_of_a_value_is_known_to_nobody(models):
    mine = {"class_name": "Mine"}
    keys = ("kernel_initializer", "kernel_regularizer", "bias_constraint")
    for key, value in [("new_key", 1), *((k, v) for k in keys for v in (mine, "mine"))]:
        model = json.loads(json.dumps(models["tensorflow-2.2.functional.save.h5"]))
        model["config"]["layers"][1]["config"][key] = value
        assert graders(model) == set()


@pytest.mark.parametrize("name", [n for n in WHOLE if "functional" in n])
def test_a_layer_takes_no_argument_but_training(models, name):
    model = json.loads(json.dumps(models[name]))
    layers = model["config"]["layers"]
    dropout = next(layer for layer in layers if layer["class_name"] == "Dropout")
    (node,) = dropout["inbound_nodes"]
    arguments = node["kwargs"] if isinstance(node, dict) else node[0][3]
    arguments["training"] = None
    assert graders(model) == graders(models[name])
    arguments["mask"] = None
    assert graders(model) == set()


def test_keras_3_needs_the_arguments_of_a_call(models):
    model = json.loads(json.dumps(models["keras-3.15.functional.save.h5"]))
    assert graders(model) == {KERAS_3}
    del model["config"]["layers"][1]["inbound_nodes"][0]["kwargs"]
    assert graders(model) == set()


def test_names_must_differ(models):
    model = json.loads(json.dumps(models["tensorflow-2.2.sequential.save.h5"]))
    for layer in model["config"]["layers"][:2]:
        layer["config"]["name"] = "same"
    assert graders(model) == set()


TRAINING = {
    "loss": "sparse_categorical_crossentropy",
    "metrics": ["accuracy"],
    "loss_weights": None,
    "sample_weight_mode": None,
    "optimizer_config": {"class_name": "Adam", "config": {"learning_rate": 0.1}},
}


def loss(reduction: str) -> dict:
    config = {"reduction": reduction}
    return {"class_name": "CategoricalCrossentropy", "config": config}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {*GRADERS}),
        ({"loss": "mine"}, set()),
        ({"loss": loss("sum_over_batch_size")}, {*GRADERS}),
        ({"loss": loss("auto")}, {*GRADERS} - {KERAS_3}),
        ({"optimizer_config": {"class_name": "AdamW"}}, {KERAS_3}),
        ({"optimizer_config": {"class_name": "Custom>AdamW"}}, {*GRADERS} - {TF_2_2}),
        ({"metrics": [["mine"]]}, set()),
        ({"loss": {"class_name": "Mine", "config": {}}}, set()),
        ({"optimizer_config": {"class_name": "Mine", "config": {}}}, set()),
    ],
)
def test_what_is_compiled_must_be_known(models, change, expected):
    model = models["tensorflow-2.2.functional.save.h5"]
    assert graders(model, TRAINING | change) == expected


def test_tensorflow_2_2_asks_for_a_key_that_later_versions_do_not_write(models):
    model = models["tensorflow-2.2.functional.save.h5"]
    training = {k: v for k, v in TRAINING.items() if k != "sample_weight_mode"}
    assert graders(model, training) == {*GRADERS} - {TF_2_2}
    assert graders(model, [training]) == set()


def save(
    folder,
    name: str,
    layers=(),
    policy="float32",
    *,
    graph=False,
    relu="relu",
    softmax="softmax",
):
    """Saves the fixed network with other layers or activations, as Keras does."""
    kept = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(policy)
    try:
        new = keras.layers
        row = [
            *layers,
            new.Conv2D(32, 3, padding="same", activation="relu"),
            new.Conv2D(32, 3, activation="relu"),
            new.MaxPooling2D(),
            new.Conv2D(64, 3, padding="same", activation="relu"),
            new.Conv2D(64, 3, activation="relu"),
            new.MaxPooling2D(),
            new.Flatten(),
            new.Dense(512, activation=relu),
            new.GaussianNoise(0.1),
            new.Dense(10, activation=softmax),
        ]
        x = images = keras.Input((32, 32, 3))
        for layer in row:
            x = layer(x)
        model = keras.Model(images, x) if graph else keras.Sequential([images, *row])
    finally:
        keras.mixed_precision.set_dtype_policy(kept)
    for variable, array in zip(model.weights, pattern(SHAPES), strict=True):
        variable.assign(array)
    model.save(folder / name)
    return folder / name


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("kind", ["float32", "graph", "mixed_bfloat16", "float16"])
def test_models_that_keras_saves_are_read_and_load(tmp_path, kind, suffix):
    new = keras.layers
    layers = [new.RandomFlip("horizontal"), new.RandomRotation(0.1), new.Rescaling(1.0)]
    graph = kind == "graph"
    policy = "float32" if graph else kind
    path = save(tmp_path, f"{kind}{suffix}", layers, policy, graph=graph)
    contents = read_weights_file(path)
    expected = [array.astype(np.float32) for array in pattern(SHAPES)]
    assert all(map(np.array_equal, contents.parameters.arrays, expected))
    notes = [note.split()[2] for note in contents.ignored if "layer " in note]
    assert notes == ["RandomFlip,", "RandomRotation,", "Rescaling,", "GaussianNoise,"]
    precision = f"the precision {policy} of its layers" in contents.ignored
    assert precision == (policy != "float32")
    assert loaders(contents, path)[KERAS_3] == ["load_weights", "load_model"]
    model = keras.models.load_model(path)
    assert all(map(np.array_equal, model.get_weights(), expected))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("kind", ["functions of TensorFlow", "layers"])
def test_activations_may_be_functions_of_tensorflow_or_layers(tmp_path, kind, suffix):
    own = kind == "layers"
    relu, softmax = (tf.nn.relu, tf.nn.softmax)
    if own:
        relu, softmax = keras.layers.ReLU(), keras.layers.Softmax()
    path = save(tmp_path, f"net{suffix}", relu=relu, softmax=softmax)
    contents = read_weights_file(path)
    assert all(map(np.array_equal, contents.parameters.arrays, pattern(SHAPES)))
    ways = ["load_weights", "load_model"] if own else ["load_weights"]
    assert loaders(contents, path)[KERAS_3] == ways
    if own:
        keras.models.load_model(path)
    else:
        with pytest.raises((TypeError, ValueError)):
            keras.models.load_model(path)


@pytest.mark.slow
def test_a_network_in_bfloat16_is_what_keras_3_reads(tmp_path):
    path = save(tmp_path, "net.keras", policy="bfloat16")
    contents = read_weights_file(path)
    assert "the dtype bfloat16 of arrays, read as float32" in contents.ignored
    ways = loaders(contents, path)
    assert ways.pop(KERAS_3) == ["load_weights", "load_model"]
    assert not any(ways.values())
    model = keras.models.load_model(path)
    arrays = [np.asarray(array, np.float32) for array in model.get_weights()]
    assert all(map(np.array_equal, contents.parameters.arrays, arrays))
    with pytest.raises(UserError, match=r"found dtype \|V2, expected float32"):
        read_weights_file(save(tmp_path, "net.h5", policy="bfloat16"))


def test_keras_writes_no_other_keys():
    for name in KEYS:
        layer = getattr(keras.layers, name)
        needed = {"rate": 0.5, "stddev": 0.5, "factor": 0.1, "height": 32, "width": 32}
        needed |= {"height_factor": 0.1, "width_factor": 0.1, "units": 1, "filters": 1}
        needed |= {"scale": 1.0, "kernel_size": 3, "activation": "relu", "mode": None}
        needed |= {"shape": (32, 32, 3)}
        keys = {*KEYS[name].split()} | ({"shape"} if name == "InputLayer" else set())
        given = {key: needed[key] for key in keys & needed.keys() if needed[key]}
        written = layer(**given).get_config().keys() - {"name", "trainable", "dtype"}
        assert written <= keys, name


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("keras-3.15.functional", {}, {KERAS_3}),
        ("tensorflow-2.15.sequential", {}, {TF_2_15, TF_KERAS}),
        ("tensorflow-2.15.functional", {}, {TF_2_15, TF_KERAS}),
        ("tf_keras-2.21.functional", {}, {TF_KERAS}),
        # A sequence that begins with an Input, as in Keras 3.
        ("tensorflow-2.15.sequential", {"batch_input_shape": None}, {*GRADERS[1:]}),
    ],
)
def test_the_form_of_an_archive_tells_who_builds_its_model(
    tmp_path, name, change, expected
):
    with zipfile.ZipFile(unpack(f"{name}.save.keras", tmp_path)) as archive:
        model = json.loads(archive.read("config.json"))
    for key in change:
        del model["config"]["layers"][1]["config"][key]
    assert graders(model, model["compile_config"], archive=True) == expected
    legacy = {"optimizer": {"config": {"is_legacy_optimizer": False}}}
    assert graders(model, legacy, archive=True) == expected - {KERAS_3}

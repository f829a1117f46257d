import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.runtime.errors import UserError
from shears.weight_files.load_model import model_graders
from shears.weight_files.model_config import TRAINING_ONLY, check_model_config
from shears.weight_files.reader import read_weights_file
from tests.any_values import paths, replaced, values
from tests.conftest import refused
from tests.unit.weight_files.genuine_files import GENUINE, unpack


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
    "a dtype that is no precision": (
        lambda m: layer_of(m, "Dense", 0).update(dtype="int8"),
        'dtype: found "int8", expected "float32"',
    ),
    "a quantised layer": (
        lambda m: layer_of(m, "Dense", 0).update(
            dtype={"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}
        ),
        "dtype: found null",
    ),
    "images of twice the range": (
        lambda m: insert(m, 1, "Rescaling", scale=2.0, offset=0.0),
        'layers[1] (Rescaling): found "Rescaling", expected "Conv2D"',
    ),
    "images with another zero": (
        lambda m: insert(m, 1, "Rescaling", scale=1.0, offset=-0.5),
        'layers[1] (Rescaling): found "Rescaling", expected "Conv2D"',
    ),
    "smaller images": (
        lambda m: insert(m, 1, "CenterCrop", height=28, width=28),
        'layers[1] (CenterCrop): found "CenterCrop", expected "Conv2D"',
    ),
    "a capped ReLU": (
        lambda m: (
            layer_of(m, "Conv2D").update(activation="linear"),
            insert(m, 2, "ReLU", max_value=6.0),
        ),
        "layers[2] (ReLU): max_value: found 6.0, expected null",
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
def test_other_networks_are_refused_in_one_line(tmp_path, good, kind):
    path = Path(shutil.copyfile(good, tmp_path / "bad.h5"))
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
def test_a_malformed_model_config_is_refused_in_one_line(tmp_path, good, text, message):
    path = Path(shutil.copyfile(good, tmp_path / "bad.h5"))
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


def output_elsewhere(config: dict) -> None:
    name = config["layers"][-2]["config"]["name"]
    config["output_layers"] = json.loads(
        json.dumps(config["output_layers"]).replace(
            json.dumps(config["layers"][-1]["config"]["name"]), json.dumps(name)
        )
    )


def two_outputs(config: dict) -> None:
    names = [layer["config"]["name"] for layer in config["layers"][-2:]]
    config["output_layers"] = [[name, 0, 0] for name in names]


def another_call(config: dict) -> None:
    """The third layer's input is a second call of the second, which there is not."""
    layer = config["layers"][2]
    before = json.dumps(config["layers"][1]["config"]["name"])
    nodes = json.dumps(layer["inbound_nodes"])
    assert f"{before}, 0, 0" in nodes
    layer["inbound_nodes"] = json.loads(
        nodes.replace(f"{before}, 0, 0", f"{before}, 1, 0")
    )


@pytest.mark.parametrize("name", [n for n in GENUINE if "functional.save.h5" in n])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (output_elsewhere, "output_layers: found"),
        (two_outputs, "expected the last layer"),
        (lambda config: config.pop("input_layers"), "expected the first layer"),
        (another_call, "expected the previous layer as its input"),
    ],
)
def test_a_model_with_other_ends_or_calls_is_refused(tmp_path, name, spoil, message):
    path = unpack(name, tmp_path)
    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        spoil(model["config"])
        file.attrs["model_config"] = json.dumps(model)
    with refused(path, message):
        read_weights_file(path)


def config_of(path: Path) -> dict:
    """Reads the description of the model in a file."""
    with h5py.File(path) as file:
        text = file.attrs["model_config"]
    return json.loads(text)


def test_the_layers_are_listed_in_order(good):
    description = check_model_config(json.dumps(config_of(good)))
    kinds = [kind for kind, _ in description.layers]
    assert description.passed_over == []
    convolutions = ["Conv2D", "Conv2D", "MaxPooling2D", "Dropout"]
    dense = ["Flatten", "Dense", "Dropout", "Dense"]
    assert kinds == ["InputLayer", *convolutions, *convolutions, *dense]


def test_what_inference_does_not_compute_may_be_anything(good):
    model = config_of(good)
    for number, layer in enumerate(model["config"]["layers"]):
        layer["config"].update(name=f"other_{number}", trainable=False)
    layer_of(model, "Dropout").update(rate=0.9)
    layer_of(model, "Dense").update(kernel_regularizer="l2", kernel_initializer=None)
    insert(model, 3, "Dropout", rate=0.5)
    assert check_model_config(json.dumps(model)).passed_over == []


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        *((kind, {}) for kind in sorted(TRAINING_ONLY - {"Dropout"})),
        ("Rescaling", {"scale": 1.0, "offset": 0.0}),
        ("Rescaling", {"scale": 1}),
        ("Resizing", {"height": 32, "width": 32}),
        ("CenterCrop", {"height": 32, "width": 32}),
        ("Activation", {"activation": "linear"}),
    ],
)
def test_layers_that_do_nothing_at_inference_are_passed_over(good, kind, config):
    model = config_of(good)
    insert(model, 1, kind, **config)
    note = f"the layer {kind}, which does nothing at inference"
    assert check_model_config(json.dumps(model)).passed_over == [note]


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        {"class_name": "Policy", "config": {"name": "mixed_float16"}},
        {"class_name": "DTypePolicy", "config": {"name": "mixed_bfloat16"}},
    ],
)
def test_the_precision_of_layers_is_passed_over(good, dtype):
    model = config_of(good)
    for kind, number in (("Conv2D", 0), ("Dense", 1)):
        layer_of(model, kind, number).update(dtype=dtype)
    name = dtype if isinstance(dtype, str) else dtype["config"]["name"]
    note = f"the precision {name} of its layers"
    assert check_model_config(json.dumps(model)).passed_over == [note]


@pytest.mark.parametrize("name", [n for n in GENUINE if "functional.save.h5" in n])
@pytest.mark.parametrize("value", [True, 1, "yes"])
def test_arguments_of_a_call_are_refused_in_one_line(tmp_path, name, value):
    model = config_of(unpack(name, tmp_path))
    layers = model["config"]["layers"]
    dropout = next(layer for layer in layers if layer["class_name"] == "Dropout")
    (node,) = dropout["inbound_nodes"]
    arguments = node["kwargs"] if isinstance(node, dict) else node[0][3]
    arguments["training"] = False
    check_model_config(json.dumps(model))
    arguments["training"] = value
    with pytest.raises(UserError, match="expected no arguments of its call"):
        check_model_config(json.dumps(model))
    if isinstance(node, dict):
        arguments["training"] = None
        node["args"].append(value)
        with pytest.raises(UserError, match="expected no arguments of its call"):
            check_model_config(json.dumps(model))


def test_relu_and_softmax_may_be_layers(good):
    model = config_of(good)
    layer_of(model, "Conv2D").update(activation="linear")
    layer_of(model, "Dense", 1).update(activation="linear")
    insert(model, 2, "ReLU", max_value=None, negative_slope=0.0, threshold=0.0)
    insert(model, 14, "Softmax", axis=-1)
    assert check_model_config(json.dumps(model)).passed_over == []


def test_an_activation_may_be_a_layer_of_its_own(good):
    model = config_of(good)
    del layer_of(model, "Conv2D")["activation"]
    with pytest.raises(UserError, match='activation: found "linear", expected "relu"'):
        check_model_config(json.dumps(model))
    insert(model, 2, "Activation", activation="relu")
    check_model_config(json.dumps(model))
    insert(model, 3, "Activation", activation="relu")
    with pytest.raises(UserError, match="only after a layer that has none yet"):
        check_model_config(json.dumps(model))


@pytest.mark.parametrize(
    ("kind", "key"),
    [("Conv2D", "filters"), ("Conv2D", "kernel_size"), ("Dense", "units")],
)
def test_a_size_that_has_no_default_must_be_there(good, kind, key):
    model = config_of(good)
    del layer_of(model, kind)[key]
    with pytest.raises(UserError, match=f"{key}: found null, expected"):
        check_model_config(json.dumps(model))


@pytest.fixture(scope="module")
def descriptions(good, tmp_path_factory):
    """A description of layers in a row, and one of a graph."""
    (name, *_) = (name for name in GENUINE if "functional.save.h5" in name)
    graph = unpack(name, tmp_path_factory.mktemp("functional"))
    return [config_of(path) for path in (good, graph)]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), value=values)
def test_any_value_anywhere_is_accepted_or_refused_in_one_line(
    descriptions, data, value
):
    model = data.draw(st.sampled_from(descriptions))
    place = data.draw(st.sampled_from(paths(model)))
    try:
        description = check_model_config(json.dumps(replaced(model, place, value)))
        model_graders(description, json.dumps(value), archive=False)
    except UserError as error:
        assert str(error).startswith("model_config: ")
        assert "\n" not in str(error)

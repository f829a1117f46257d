"""Checks that a file's description of its model (Keras' JSON) is the fixed network's.

Only what inference computes counts: names, initialisers, regularisers and dropout rates
may be anything, and layers that do nothing at inference may stand anywhere. No model is
built from the description.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from shears.model.architecture import CLASSES, INPUT_SHAPE
from shears.runtime.errors import UserError, brief

CONV = {
    "kernel_size": (3, 3),
    "strides": (1, 1),
    "dilation_rate": (1, 1),
    "groups": 1,
    "data_format": "channels_last",
    "use_bias": True,
}
POOL = {
    "pool_size": (2, 2),
    "strides": (2, 2),
    "padding": "valid",
    "data_format": "channels_last",
}
# The layers that an image passes through, without dropout. A missing key has Keras'
# default. That is the value here, except for padding and activations (below) and the
# keys in MUST, which have no default.
NETWORK: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Conv2D", {**CONV, "filters": 32, "padding": "same", "activation": "relu"}),
    ("Conv2D", {**CONV, "filters": 32, "padding": "valid", "activation": "relu"}),
    ("MaxPooling2D", POOL),
    ("Conv2D", {**CONV, "filters": 64, "padding": "same", "activation": "relu"}),
    ("Conv2D", {**CONV, "filters": 64, "padding": "valid", "activation": "relu"}),
    ("MaxPooling2D", POOL),
    ("Flatten", {"data_format": "channels_last"}),
    ("Dense", {"units": 512, "use_bias": True, "activation": "relu"}),
    ("Dense", {"units": CLASSES, "use_bias": True, "activation": "softmax"}),
)
MUST = {"filters", "units", "kernel_size"}
DEFAULT_ACTIVATION = "linear"
DEFAULT_PADDING = "valid"
# Layers without weights that return their input at inference, in every version of Keras
# that has them (tests/graders compares their predictions).
REGULARISATION = {
    *("ActivityRegularization", "AlphaDropout", "Dropout", "GaussianDropout"),
    *("GaussianNoise", "Identity", "SpatialDropout2D"),
}
AUGMENTATION = {
    *("AugMix", "CutMix", "MixUp", "RandAugment", "RandomBrightness"),
    *("RandomColorDegeneration", "RandomColorJitter", "RandomContrast"),
    *("RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur"),
    *("RandomGrayscale", "RandomHue", "RandomInvert", "RandomPerspective"),
    *("RandomPosterization", "RandomRotation", "RandomSaturation", "RandomSharpness"),
    *("RandomShear", "RandomTranslation", "RandomZoom"),
}
TRAINING_ONLY = REGULARISATION | AUGMENTATION
# Layers that return 32x32 images as they are, if they are told that size.
RESIZING = {"CenterCrop", "RandomCrop", "Resizing"}
AUGMENTS = AUGMENTATION | RESIZING
# Layers that compute an activation, with the values that make them this activation.
ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "ReLU": ("relu", {"max_value": None, "negative_slope": 0, "threshold": 0}),
    "Softmax": ("softmax", {"axis": -1}),
}
# What TensorFlow calls an activation, where that is not its name in Keras.
TENSORFLOW_NAMES = {"softmax_v2": "softmax"}
# The precisions that a layer may compute in; load_weights does not read them.
PRECISIONS = {"float32", "float16", "bfloat16", "float64"}
PRECISIONS |= {"mixed_float16", "mixed_bfloat16"}


class ModelDescription(NamedTuple):
    """What a file says about its model, which is the fixed network.

    Attributes:
        model: The description as Keras wrote it.
        layers: The class and the configuration of each layer, in order.
        passed_over: What it has besides the fixed network, without effect on its
            predictions.
    """

    model: Mapping[str, Any]
    layers: list[tuple[str, Mapping[str, Any]]]
    passed_over: list[str]


# A layer of another package may compute anything, whatever the name of its class.
PACKAGES = {"keras", "tf_keras"}


def _wrong(where: str, actual: object, expected: object) -> UserError:
    return UserError(
        f"{where}: found {brief(json.dumps(actual))}, expected {expected}: it is not "
        "the fixed network"
    )


def _mapping(value: object, where: str) -> Mapping[str, Any]:
    """Checks that a value is a mapping, and returns it."""
    if not isinstance(value, dict):
        raise _wrong(where, value, "a mapping")
    return value


def _name(value: object, where: str) -> object:
    """Returns an activation's name. Keras 3 may have wrapped it, or it is a layer."""
    if not isinstance(value, dict):
        return value
    kind, config = value.get("class_name"), value.get("config")
    if kind == "function":
        return TENSORFLOW_NAMES.get(str(config), config)
    if kind in ACTIVATIONS and isinstance(config, dict):
        _check_origin(where, value)
        return _activation(kind, config, where)
    return value


def _dtype(value: object) -> object:
    """Returns a layer's dtype, which may be wrapped in a policy."""
    if isinstance(value, dict):
        inner = value.get("config")
        return inner.get("name") if isinstance(inner, dict) else value
    return value


def _same(actual: object, expected: object) -> bool:
    """Compares values; a tuple matches a JSON list, or a number for all its items."""
    if isinstance(expected, tuple):
        if isinstance(actual, int) and not isinstance(actual, bool):
            actual = [actual] * len(expected)
        return isinstance(actual, list) and tuple(actual) == expected
    return type(actual) is type(expected) and actual == expected


def _check_call(layer: Mapping[str, Any], nodes: object) -> None:
    """Checks that a layer of a functional model is called with its input alone."""
    arguments: list[object] = []
    for node in nodes if isinstance(nodes, list) else []:
        if isinstance(node, dict):  # Keras 3: the tensor is an argument, too
            given, named = node.get("args", []), node.get("kwargs", {})
            arguments += given[1:] if isinstance(given, list) else [given]
            if isinstance(named, dict) and str(layer.get("class_name")) in AUGMENTS:
                # Keras 3 notes this default of theirs, and predicts without it.
                named = {key: named[key] for key in named if key != "training"}
            arguments.append(named)
        elif isinstance(node, list):  # Keras 2: [[layer, node, tensor, arguments]]
            inputs = node if all(isinstance(item, list) for item in node) else [node]
            arguments += [item[3] for item in inputs if len(item) > 3]
    for argument in arguments:
        values = argument.values() if isinstance(argument, dict) else [argument]
        if any(value is not None and value is not False for value in values):
            where = f"layer {layer.get('name')!r}: inbound_nodes"
            raise _wrong(where, argument, "no arguments of its call")


def _in_a_row(layers: list[Mapping[str, Any]], config: Mapping[str, Any]) -> None:
    """Checks that each layer of a functional model has the previous one as input.

    The first is the model's input, the last its output; each is called once.
    """
    names = {layer["name"] for layer in layers if isinstance(layer.get("name"), str)}

    def tensors_in(value: object) -> Iterator[list[Any]]:
        """Finds [layer, node, tensor], which Keras 3 calls "keras_history"."""
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            if value and isinstance(value[0], str) and value[0] in names:
                yield value[:3]
            for item in value:
                yield from tensors_in(item)

    for key, end in (("input_layers", layers[:1]), ("output_layers", layers[-1:])):
        expected = [[layer.get("name"), 0, 0] for layer in end]
        if list(tensors_in(config.get(key))) != expected:
            which = "the first layer" if key == "input_layers" else "the last layer"
            raise _wrong(key, config.get(key), which)
    previous: list[list[object]] = []
    for layer in layers:
        nodes = layer.get("inbound_nodes", [])
        several = not isinstance(nodes, list) or len(nodes) > 1
        if several or list(tensors_in(nodes)) != previous:
            raise _wrong(
                f"layer {layer.get('name')!r}", nodes, "the previous layer as its input"
            )
        _check_call(layer, nodes)
        previous = [[layer.get("name"), 0, 0]]


def _layers(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Lists a model's layers as Keras wrote them."""
    _check_origin("model", model)
    kind = model.get("class_name")
    if kind not in ("Sequential", "Functional", "Model"):
        raise _wrong("class_name", kind, "Sequential or Functional")
    config = model.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list):
        raise _wrong("layers", layers, "a list")
    layers = [_mapping(layer, f"layers[{i}]") for i, layer in enumerate(layers)]
    if kind != "Sequential":
        _in_a_row(layers, _mapping(config, "config"))
    return layers


def _check_origin(where: str, layer: Mapping[str, Any]) -> None:
    """Checks that a layer, or a model, is one of Keras' own."""
    module, name = layer.get("module"), layer.get("registered_name")
    if module is not None and str(module).split(".")[0] not in PACKAGES:
        raise _wrong(f"{where}: module", module, "one of Keras")
    if name is not None and name != layer.get("class_name"):
        raise _wrong(f"{where}: registered_name", name, "a class of Keras")


def _check_layer(
    where: str, config: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    """Compares a layer's configuration with the expected one, except the activation."""
    for key, value in expected.items():
        if key == "activation":
            continue
        default = DEFAULT_PADDING if key == "padding" else value
        if key in MUST:
            default = None
        actual = config.get(key, default)
        if key == "strides" and actual is None:  # pooling: as large as the pool
            actual = config.get("pool_size", value)
        actual = list(actual) if isinstance(actual, tuple) else actual
        if not _same(actual, value):
            value = list(value) if isinstance(value, tuple) else value
            raise _wrong(f"{where}: {key}", actual, json.dumps(value))


def _is_number(value: object, number: float) -> bool:
    """Returns whether a value is a number, and this one."""
    return type(value) in (int, float) and value == number


def _does_nothing(kind: str, config: Mapping[str, Any], *, images: bool) -> bool:
    """Returns whether a layer returns its input at inference.

    Args:
        kind: The layer's class.
        config: Its configuration.
        images: Whether its input has the size of the network's images.
    """
    if kind == "Activation":
        return _name(config.get("activation"), kind) == DEFAULT_ACTIVATION
    if kind == "Rescaling":
        scale, offset = config.get("scale"), config.get("offset", 0)
        return _is_number(scale, 1) and _is_number(offset, 0)
    if kind in RESIZING:
        size = (config.get("height"), config.get("width"))
        return images and size == tuple(INPUT_SHAPE[:2])
    return kind in TRAINING_ONLY


def _activation(kind: str, config: Mapping[str, Any], where: str) -> object:
    """Returns the activation that a layer is; None if it is another layer."""
    if kind == "Activation":
        return _name(config.get("activation"), where)
    if kind not in ACTIVATIONS:
        return None
    name, expected = ACTIVATIONS[kind]
    for key, value in expected.items():
        actual = config.get(key, value)
        if actual != value and not (value == 0 and actual is None):
            raise _wrong(f"{where}: {key}", actual, json.dumps(value))
    return name


def check_model_config(text: str, where: str = "model_config") -> ModelDescription:
    """Checks that a model is the fixed network.

    Args:
        text: The attribute ``model_config`` of an ``.h5`` file, or ``config.json`` of a
            ``.keras`` file.
        where: Which of the two, for errors.

    Raises:
        UserError: It is another network. The first difference is given, but not the
            file's name.
    """
    try:
        return _check_model(text)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None


def _check_model(text: str) -> ModelDescription:
    """Checks a description; errors do not say where it stands."""
    try:
        model = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"found no JSON ({brief(error)}), expected Keras' description"
        ) from None
    at = 0
    activation: object = DEFAULT_ACTIVATION  # of the layer before `at`

    def finish(where: str) -> None:
        expected = NETWORK[at - 1][1].get("activation", DEFAULT_ACTIVATION)
        if at and activation != expected:
            raise _wrong(f"{where}: activation", activation, json.dumps(expected))

    previous = "layers[0]"
    layers: list[tuple[str, Mapping[str, Any]]] = []
    passed_over: list[str] = []
    for i, layer in enumerate(_layers(_mapping(model, "model"))):
        kind = layer.get("class_name")
        if not isinstance(kind, str):
            raise _wrong(f"layers[{i}]: class_name", kind, "a class")
        config = _mapping(layer.get("config"), f"layers[{i}]: config")
        layers.append((kind, config))
        where = f"layers[{i}] ({brief(kind)})"
        _check_origin(where, layer)
        dtype = _dtype(config.get("dtype", "float32"))
        if not isinstance(dtype, str) or dtype not in PRECISIONS:
            raise _wrong(f"{where}: dtype", dtype, '"float32"')
        if dtype != "float32":
            passed_over.append(f"the precision {dtype} of its layers")
        shape = config.get("batch_input_shape", config.get("batch_shape"))
        known = shape[1:] if isinstance(shape, list) else shape
        if i == 0 and known is not None and known != list(INPUT_SHAPE):
            raise _wrong(f"{where}: input shape", shape, json.dumps(INPUT_SHAPE))
        if kind == "InputLayer" and i == 0:
            continue
        if _does_nothing(kind, config, images=at <= 1):
            if kind != "Dropout":  # the fixed network has it
                passed_over.append(f"the layer {kind}, which does nothing at inference")
            continue
        name = _activation(kind, config, where)
        if name is not None:
            if activation != DEFAULT_ACTIVATION or not at:
                raise _wrong(where, kind, "one only after a layer that has none yet")
            activation = name
            continue
        finish(previous)
        if at == len(NETWORK):
            raise _wrong(where, kind, f"the end, after {len(NETWORK)} layers")
        expected_kind, expected = NETWORK[at]
        if kind != expected_kind:
            raise _wrong(where, kind, json.dumps(expected_kind))
        _check_layer(where, config, expected)
        activation = _name(
            config.get("activation", DEFAULT_ACTIVATION), f"{where}: activation"
        )
        previous, at = where, at + 1
    if at < len(NETWORK):
        raise _wrong("layers", at, f"{len(NETWORK)} besides dropout and activations")
    finish(previous)
    return ModelDescription(model, layers, list(dict.fromkeys(passed_over)))

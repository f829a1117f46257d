"""Whether a file's description of its model (Keras' JSON) is the fixed network's.

Only what an inference computes counts: names, initialisers, regularisers and rates of
dropout are anybody's choice. Nothing is built from it.
"""

import json
from collections.abc import Iterator, Mapping

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
# What an image passes through, dropout left out. A key that is not there has Keras'
# default, which is the value here but where MUST has it.
NETWORK: tuple[tuple[str, dict], ...] = (
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


def _wrong(where: str, found: object, expected: object) -> UserError:
    return UserError(
        f"model_config: {where}: found {brief(json.dumps(found))}, expected "
        f"{expected}: it is not the fixed network"
    )


def _mapping(value: object, where: str) -> Mapping:
    """Makes sure that a value is a mapping."""
    if not isinstance(value, dict):
        raise _wrong(where, value, "a mapping")
    return value


def _name(value: object) -> object:
    """Keras' class names and functions, plain or as Keras 3 wraps them."""
    if isinstance(value, dict) and value.get("class_name") == "function":
        return value.get("config")
    return value


def _dtype(value: object) -> object:
    """A layer's dtype, plain or as a policy."""
    if isinstance(value, dict):
        inner = value.get("config")
        return inner.get("name") if isinstance(inner, dict) else value
    return value


def _same(found: object, expected: object) -> bool:
    """Compares values: a list of JSON with a tuple, a number with a pair of it."""
    if isinstance(expected, tuple):
        if isinstance(found, int) and not isinstance(found, bool):
            found = [found] * len(expected)
        return isinstance(found, list) and tuple(found) == expected
    return type(found) is type(expected) and found == expected


def _in_a_row(layers: list[Mapping]) -> None:
    """Checks that each layer of a functional model takes the one before alone."""
    names = {layer.get("name") for layer in layers}

    def mentioned(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            # Keras 3 says it in "keras_history": [layer, node, tensor].
            for item in value.values():
                yield from mentioned(item)
        elif isinstance(value, list):
            for item in value:
                yield from mentioned(item)
        elif isinstance(value, str) and value in names:
            yield value

    before: list = []
    for layer in layers:
        nodes = layer.get("inbound_nodes", [])
        if sorted(set(mentioned(nodes)), key=str) != before or len(nodes) > 1:
            raise _wrong(
                f"layer {layer.get('name')!r}", nodes, "the layer before as its input"
            )
        before = [layer.get("name")]


def _layers(model: Mapping) -> list[Mapping]:
    """Lists a model's layers as Keras wrote them."""
    kind = model.get("class_name")
    if kind not in ("Sequential", "Functional", "Model"):
        raise _wrong("class_name", kind, "Sequential or Functional")
    config = model.get("config")
    layers = config.get("layers") if isinstance(config, dict) else config
    if not isinstance(layers, list):
        raise _wrong("layers", layers, "a list")
    layers = [_mapping(layer, f"layers[{i}]") for i, layer in enumerate(layers)]
    if kind != "Sequential":
        _in_a_row(layers)
    return layers


def _check_layer(where: str, config: Mapping, expected: Mapping) -> None:
    """Compares what a layer is made of, activation aside."""
    for key, wanted in expected.items():
        if key == "activation":
            continue
        default = DEFAULT_PADDING if key == "padding" else wanted
        if key in MUST:
            default = None
        found = config.get(key, default)
        if key == "strides" and found is None:  # pooling: as far as it is wide
            found = config.get("pool_size", wanted)
        found = list(found) if isinstance(found, tuple) else found
        if not _same(found, wanted):
            wanted = list(wanted) if isinstance(wanted, tuple) else wanted
            raise _wrong(f"{where}: {key}", found, json.dumps(wanted))


def check_model_config(text: str) -> list[str]:
    """Checks that a model is the fixed network.

    Args:
        text: The attribute `model_config` of a file.

    Returns:
        The classes of its layers, in their order.

    Raises:
        UserError: It is another, with the first difference; the file is not named.
    """
    try:
        model = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"model_config: found no JSON ({brief(error)}), expected Keras' description"
        ) from None
    at, activation = 0, DEFAULT_ACTIVATION  # `activation` is the layer's before

    def finish(where: str) -> None:
        wanted = NETWORK[at - 1][1].get("activation", DEFAULT_ACTIVATION)
        if at and activation != wanted:
            raise _wrong(f"{where}: activation", activation, json.dumps(wanted))

    previous, kinds = "layers[0]", []
    for i, layer in enumerate(_layers(_mapping(model, "model"))):
        kind = layer.get("class_name")
        kinds.append(kind)
        config = _mapping(layer.get("config"), f"layers[{i}]: config")
        where = f"layers[{i}] ({brief(kind)})"
        dtype = _dtype(config.get("dtype", "float32"))
        if dtype != "float32":
            raise _wrong(f"{where}: dtype", dtype, '"float32"')
        shape = config.get("batch_input_shape", config.get("batch_shape"))
        if i == 0 and shape is not None and shape[1:] != list(INPUT_SHAPE):
            raise _wrong(f"{where}: input shape", shape, json.dumps(INPUT_SHAPE))
        if kind == "Dropout" or (kind == "InputLayer" and i == 0):
            continue
        if kind == "Activation":
            if activation != DEFAULT_ACTIVATION or not at:
                raise _wrong(where, kind, "a layer with weights before it, without one")
            activation = _name(config.get("activation"))
            continue
        finish(previous)
        if at == len(NETWORK):
            raise _wrong(where, kind, f"the end, after {len(NETWORK)} layers")
        wanted_kind, wanted = NETWORK[at]
        if kind != wanted_kind:
            raise _wrong(where, kind, json.dumps(wanted_kind))
        _check_layer(where, config, wanted)
        activation = _name(config.get("activation", DEFAULT_ACTIVATION))
        previous, at = where, at + 1
    if at < len(NETWORK):
        raise _wrong("layers", at, f"{len(NETWORK)} besides dropout and activations")
    finish(previous)
    return kinds

"""Descriptions of functional models with other ends, nodes or arguments of calls."""

import json
from collections.abc import Callable
from typing import Any

Config = dict[str, Any]


def _nodes(layer: Config) -> list[Config]:
    """Lists a layer's calls, as Keras 3 writes them."""
    return [node for node in layer["inbound_nodes"] if isinstance(node, dict)]


def _place(layer: Config) -> list[Any]:
    """Finds [layer, node, tensor], with arguments in Keras 2, which a layer takes."""
    for node in _nodes(layer):
        return node["args"][0]["config"]["keras_history"]
    return layer["inbound_nodes"][0][0]


def _end(config: Config, key: str, *layers: int) -> None:
    """Makes these layers the model's inputs or outputs, in its own form."""
    nested = isinstance(config[key][0], list)
    ends = [[config["layers"][i]["name"], 0, 0] for i in layers]
    config[key] = ends if nested or len(ends) > 1 else ends[0]


def _output(*layers: int) -> Callable[[Config], None]:
    return lambda config: _end(config, "output_layers", *layers)


def _input(*layers: int) -> Callable[[Config], None]:
    return lambda config: _end(config, "input_layers", *layers)


def _without(key: str) -> Callable[[Config], object]:
    return lambda config: config.pop(key)


def _other_nesting(config: Config) -> None:
    """Writes the ends as the other of Keras 2 and 3 does."""
    for key in ("input_layers", "output_layers"):
        value = config[key]
        config[key] = value[0] if isinstance(value[0], list) else [value]


def _number(which: int, item: int) -> Callable[[Config], None]:
    """Asks for the second call (item 1) or result (2) of the layer before."""
    return lambda config: _place(config["layers"][which]).__setitem__(item, 1)


def _number_of_output(config: Config) -> None:
    end = config["output_layers"]
    (end[0] if isinstance(end[0], list) else end)[1] = 1


def _twice(config: Config) -> None:
    """Calls a layer a second time, which nothing uses."""
    layer = config["layers"][2]
    layer["inbound_nodes"] = 2 * layer["inbound_nodes"]


def _skip(config: Config) -> None:
    """Lets the second dropout take what the first one does."""
    dropouts = [x for x in config["layers"] if x["class_name"] == "Dropout"]
    dropouts[1]["inbound_nodes"] = dropouts[0]["inbound_nodes"]


def _argument(key: str, value: object, kind: str = "Dropout") -> Callable:
    """Calls the layers of a class with an argument."""

    def change(config: Config) -> None:
        for layer in config["layers"]:
            if layer["class_name"] == kind:
                for node in _nodes(layer):
                    node["kwargs"][key] = value
                if not _nodes(layer):
                    _place(layer)[3][key] = value

    return change


def _second_argument(value: object) -> Callable[[Config], None]:
    """Calls the dropouts with an argument by its place, which only Keras 3 notes."""

    def change(config: Config) -> None:
        for layer in config["layers"]:
            if layer["class_name"] == "Dropout":
                for node in _nodes(layer):
                    node["args"].append(value)

    return change


def _no_arguments(config: Config) -> None:
    """Leaves out that a call has no arguments."""
    for layer in config["layers"][1:]:
        for node in _nodes(layer):
            del node["kwargs"]
        if not _nodes(layer):
            del _place(layer)[3]


#: How a description is changed, and whether it is the fixed network's afterwards; None
#: if loaders may disagree.
GRAPHS: dict[str, tuple[Callable[[Config], object], bool | None]] = {
    "output elsewhere": (_output(-2), False),
    "output at the first layer": (_output(0), False),
    "two outputs": (_output(-2, -1), False),
    "an output twice": (_output(-1, -1), False),
    "input elsewhere": (_input(1), False),
    "two inputs": (_input(0, 0), False),
    "no output": (_without("output_layers"), False),
    "no input": (_without("input_layers"), False),
    "ends in the other form": (_other_nesting, True),
    "a wrong node": (_number(3, 1), False),
    "a wrong node of the input": (_number(1, 1), False),
    "a wrong node of the output": (_number_of_output, False),
    "a wrong tensor": (_number(3, 2), False),
    "a layer twice": (_twice, None),
    "a layer left out": (_skip, False),
    "dropout always on": (_argument("training", True), False),
    "dropout on by a number": (_argument("training", 1), False),
    "dropout always off": (_argument("training", False), True),
    "dropout as usual": (_argument("training", None), True),
    "convolutions as usual": (_argument("training", None, "Conv2D"), None),
    "pooling never in training": (_argument("training", False, "MaxPooling2D"), None),
    "a mask of nothing": (_argument("mask", None), None),
    "an unknown argument": (_argument("mine", 1), False),
    "dropout on by place": (_second_argument(True), None),
    "no arguments": (_no_arguments, None),
}


def change_graph(text: str, kind: str) -> str:
    """Changes the description of a functional model in one of the ways above."""
    model = json.loads(text)
    GRAPHS[kind][0](model["config"])
    return json.dumps(model)


def is_graph(text: str) -> bool:
    """Returns whether a description is of a functional model."""
    return json.loads(text)["class_name"] != "Sequential"

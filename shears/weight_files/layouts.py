"""Finds the fixed network's arrays in an HDF5 file, as Keras' own loaders do.

- Keras 2: a group (or the root) names its layers (``layer_names``), each layer's group
  its arrays (``weight_names``). Loaders skip layers without arrays, and take the others
  in this order: six layers, each with kernel and bias, whatever their names.
- Keras 3: ``layers/<kind>/vars/<number>``, where ``<kind>`` is the snake case of the
  class, from the second on with a number. Loaders ask for exactly these names.
"""

import re
from typing import NamedTuple

import h5py
import numpy as np

from shears.model.architecture import LAYERS, SHAPES
from shears.runtime.errors import UserError, brief
from shears.weight_files.untrusted_hdf5 import (
    InspectedFile,
    UnfitArrays,
    attribute_keys,
    has_unicode,
    read_text,
    read_texts,
)

#: The versions whose loaders are predicted, from the oldest to the newest.
GRADERS = ("TensorFlow 2.2", "TensorFlow 2.15", "tf_keras 2.21", "Keras 3.15")
TOP_LEVEL = "top_level_model_weights"  # arrays of a model that no layer has
#: The layouts of Keras 3 that a group at the root identifies, in a file of weights.
KERAS_3 = {
    "layers": "Keras 3 weights",
    "_layer_checkpoint_dependencies": "TensorFlow 2.13 weights",
}
#: How many layers of each kind have weights.
COUNTS = {"conv2d": 4, "dense": 2}


class Arrays(NamedTuple):
    """The fixed network's arrays in a file.

    Attributes:
        arrays: float32, in the network's order.
        used: The paths of the arrays and of what belongs to them.
        graders: Those of `GRADERS` whose loaders find them, if the file has a name with
            which they look for this layout.
    """

    arrays: list[np.ndarray]
    used: set[str]
    graders: frozenset[str]


def _check_name(name: str, where: str) -> None:
    """Checks a path in a file: HDF5 knows ways around that loaders do not."""
    if any(part in ("", ".", "..") for part in name.split("/")):
        raise UserError(f"{where}: found the name {brief(name)!r}, expected a path")


def _list_layers(
    source: InspectedFile, group: h5py.Group, path: str
) -> list[tuple[str, list[str]]]:
    """Lists the layers that have arrays, and the paths of these, in order."""
    where, prefix = (f"{path}: ", f"{path}/") if path else ("", "")
    names = read_texts(group, "layer_names", where)
    if names is None:
        raise UserError(
            f"{where}found no attribute layer_names, expected the list of layers"
        )
    layers = []
    for name in names:
        _check_name(name, f"{where}attribute layer_names")
        place = f"{prefix}{name}"
        if place not in source.groups:
            raise UserError(
                f"{place}: found no group, expected one: layer_names lists it"
            )
        arrays = read_texts(source.groups[place], "weight_names", f"{place}: ") or []
        for array in arrays:
            _check_name(array, f"{place}: attribute weight_names")
        if arrays:
            layers.append((name, [f"{place}/{array}" for array in arrays]))
    return layers


def _check_layers(
    source: InspectedFile, layers: list[tuple[str, list[str]]], path: str
) -> None:
    """Checks that the layers are as many as the network's, and in its order."""
    where = path or "layer_names"
    for _, places in layers:
        for place in places:
            if place not in source.data:
                raise UserError(
                    f"{place}: found no array, expected one: weight_names lists it"
                )
    shapes = [source.data[place].shape for _, places in layers for place in places]
    kernels = [shape for shape in shapes if len(shape) > 1]
    expected = [layer.kernel for layer in LAYERS]
    names = brief(", ".join(name for name, _ in layers) or "none")
    if kernels != expected and sorted(kernels) == sorted(expected):
        raise UserError(
            f"{where}: found the layers in another order ({names}), expected kernels "
            f"of shapes {', '.join(map(str, expected))}"
        )
    if len(layers) != len(LAYERS):
        number = f"{len(layers)} layer{'s' if len(layers) != 1 else ''}"
        raise UserError(
            f"{where}: found {number} with arrays ({names}), expected "
            f"{len(LAYERS)}: four convolutions and two dense layers"
        )
    for name, places in layers:
        if len(places) != 2:
            raise UserError(
                f"{path + '/' if path else ''}{name}: found {len(places)} arrays, "
                "expected 2: kernel and bias"
            )


def read_keras_2(source: InspectedFile, path: str) -> Arrays:
    """Reads the arrays below the root ("") or a group in Keras 2's layout.

    Raises:
        UnfitArrays: Loaders would load something else.
        UserError: Loaders would refuse them.
    """
    group = source.groups[path] if path else source.file
    layers = _list_layers(source, group, path)
    _check_layers(source, layers, path)
    prefix = f"{path}/" if path else ""
    top = source.groups.get(f"{prefix}{TOP_LEVEL}")
    if TOP_LEVEL in group and (
        top is None or read_texts(top, "weight_names", f"{prefix}{TOP_LEVEL}: ")
    ):
        raise UserError(
            f"{prefix}{TOP_LEVEL}: found arrays of the model itself, expected none"
        )
    if read_text(group, "backend", path and f"{path}: ") == "theano":
        raise UnfitArrays(
            f"{prefix}backend: found 'theano', expected 'tensorflow': loaders would "
            "flip its kernels"
        )
    places = [place for _, places in layers for place in places]
    arrays = [
        source.take(place, shape) for place, shape in zip(places, SHAPES, strict=True)
    ]
    # TensorFlow 2.2 decodes names, which must be bytes.
    lists = [(group, key) for key in attribute_keys(group, "layer_names")]
    for name in read_texts(group, "layer_names", "") or []:
        layer = source.groups[f"{prefix}{name}"]
        lists += [(layer, key) for key in attribute_keys(layer, "weight_names")]
    lists += [(group, "backend"), (group, "keras_version")]
    unicode = any(has_unicode(owner, key) for owner, key in lists)
    return Arrays(arrays, set(places), frozenset(GRADERS[1:] if unicode else GRADERS))


def find_root(source: InspectedFile) -> str:
    """Finds the group that holds the layers in Keras 3's own layout."""
    root = next((name for name in KERAS_3 if name in source.file), None)
    if root is None:
        raise UserError(
            "found no attribute layer_names and no group layers, expected a weights "
            "file as Keras 2 or 3 writes it"
        )
    return root


def read_keras_3(source: InspectedFile, root: str) -> Arrays:
    """Reads the arrays of Keras 3's own layout.

    Raises:
        UserError: They are not the fixed network's.
    """
    layers: dict[str, list[tuple[int, str]]] = {kind: [] for kind in COUNTS}
    for place in source.data:
        name = re.fullmatch(rf"{root}/((conv2d|dense)(?:_(\d+))?)/vars/0", place)
        if name:
            layers[name[2]].append((int(name[3] or 0), name[1]))
    for kind, numbered in layers.items():
        if len(numbered) != COUNTS[kind]:
            raise UserError(
                f"{root}: found {len(numbered)} {kind} layers with weights, expected "
                f"{COUNTS[kind]}, as in the fixed network"
            )
    names = [name for numbered in layers.values() for _, name in sorted(numbered)]
    expected = [
        f"{kind}_{number}" if number else kind
        for kind, count in COUNTS.items()
        for number in range(count)
    ]
    if root == "layers" and names != expected:  # TensorFlow 2.13 skips some numbers
        raise UserError(
            f"{root}: found the layers {brief(', '.join(names), 120)}, expected "
            f"{', '.join(expected)}"
        )
    places = [f"{root}/{name}/vars/{i}" for name in names for i in range(2)]
    for place in places:
        if place not in source.data:
            raise UserError(f"{place}: found no array, expected the layer's bias")
    arrays = [
        source.take(place, shape, bfloat16=True)
        for place, shape in zip(places, SHAPES, strict=True)
    ]
    used = set(places)
    for place in source.data:  # dropout's random-number state
        if place.startswith(f"{root}/") and "/seed_generator/vars/" in place:
            source.ignored.append(f"the random-number state in {place}")
            used.add(place)
    for place in source.data:
        if place not in used:
            raise UserError(
                f"{place}: found an array that no layer of the fixed network has, "
                "expected none"
            )
    if root == "layers":  # all but Keras 3 need the model's own group, too
        graders = frozenset(GRADERS[1 if "vars" in source.groups else -1 :])
    else:
        graders = frozenset(GRADERS[-1:] if names == expected else ())
    if any(map(source.is_bfloat16, places)):
        graders &= {*GRADERS[-1:]}
    return Arrays(arrays, used, graders)

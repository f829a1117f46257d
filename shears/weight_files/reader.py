"""Reads anyone's weights file as raw HDF5: nothing in it is run or trusted.

Keras writers since TensorFlow 2.1 use one of these layouts:

- Keras 2, weights: the root names its layers (``layer_names``), each group its
  arrays (``weight_names``).
- Keras 2, whole model (Keras 3 writes it too, if the name ends in ``.h5``): the same in
  the group ``model_weights``, and ``model_config`` at the root.
- Keras 3, weights (``.weights.h5``): ``layers/<kind>/vars/<number>``; TensorFlow 2.13
  used another name for ``layers``.
- Keras 3, whole model (``.keras``): a zip archive of such a file and of the model's
  description (`shears.weight_files.keras_archive`).

A file's contents decide which one it is, not its name. Anything else in the file is
refused, unless every loader ignores it: the state of an optimizer, of metrics or of
random numbers.
"""

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from shears.model.architecture import LAYERS, SHAPES
from shears.model.parameters import Parameters
from shears.runtime.errors import UserError, brief
from shears.runtime.hdf5 import open_hdf5
from shears.weight_files import keras_archive
from shears.weight_files.keras_archive import KerasArchive
from shears.weight_files.model_config import check_model_config
from shears.weight_files.untrusted_hdf5 import InspectedFile, read_text, read_texts

# Groups at the root that no weights loader reads.
PASSED_OVER = {
    "optimizer_weights": "the optimizer's state",  # Keras 2's
    "optimizer": "the optimizer's state",  # Keras 3's
    "metrics": "the metrics' state",
}
#: The layouts that a group at the root identifies, in a file of weights.
KERAS_3 = {
    "layers": "Keras 3 weights",
    "_layer_checkpoint_dependencies": "TensorFlow 2.13 weights",
}
#: The layout of a ``.keras`` file, by the same group.
ARCHIVES = {
    "layers": "Keras 3 model",
    "_layer_checkpoint_dependencies": "TensorFlow 2.13 model",
}
ADVICE = "save the network with Keras as .h5 or .keras"


class WeightsFile(NamedTuple):
    """What a weights file holds.

    Attributes:
        parameters: float32, finite, without denormals.
        layout: "Keras 2 weights", "Keras 2 model", or one of `KERAS_3` or `ARCHIVES`.
        writer: The version of Keras that wrote it.
        described: The classes of the layers in its description (which is then the fixed
            network's); empty if it has none.
        ignored: Other contents, which no weights loader reads.
    """

    parameters: Parameters
    layout: str
    writer: str
    described: list[str]
    ignored: list[str]


def _keras_2_places(group: h5py.Group, path: str) -> Iterator[tuple[str, str]]:
    """Lists the layer and the path of each array, in the order of the names."""
    where = f"{path}: " if path else ""
    names = read_texts(group, "layer_names", where)
    if names is None:
        raise UserError(
            f"{where}found no attribute layer_names, expected the list of layers"
        )
    prefix = f"{path}/" if path else ""
    for layer in names:
        if not isinstance(group.get(layer), h5py.Group):
            raise UserError(
                f"{prefix}{layer}: found no group, expected one: layer_names lists it"
            )
        arrays = read_texts(group[layer], "weight_names", f"{prefix}{layer}: ")
        if arrays is None:
            raise UserError(
                f"{prefix}{layer}: found no attribute weight_names, expected the list "
                "of its arrays"
            )
        for array in arrays:
            yield layer, f"{prefix}{layer}/{array}"


def _read_keras_2(
    source: InspectedFile, path: str
) -> tuple[list[np.ndarray], set[str]]:
    """Reads the arrays below the root ("") or a group; returns their paths, too."""
    group = source.file[path] if path else source.file
    places = list(_keras_2_places(group, path))
    for _, place in places:
        if place not in source.data:
            raise UserError(
                f"{place}: found no array, expected one: weight_names lists it"
            )
    shapes = [source.data[place].shape for _, place in places]
    kernels = [shape for shape in shapes if len(shape) > 1]
    expected = [layer.kernel for layer in LAYERS]
    if kernels != expected and sorted(kernels) == sorted(expected):
        order = ", ".join(dict.fromkeys(layer for layer, _ in places))
        raise UserError(
            f"{path or 'layer_names'}: found the layers in another order "
            f"({brief(order)}), expected kernels of shapes "
            f"{', '.join(map(str, expected))}"
        )
    if len(places) != len(SHAPES):
        raise UserError(
            f"{path or 'layer_names'}: found {len(places)} arrays, expected "
            f"{len(SHAPES)}: kernel and bias of four convolutions and two dense layers"
        )
    for number, (_, place) in enumerate(places):
        kind = ("kernel", "bias")[number % 2]
        actual = place.rsplit("/", 1)[-1].split(":")[0]
        if actual != kind:
            raise UserError(
                f"{place}: found {actual!r} as array {number + 1}, expected {kind!r}"
            )
    arrays = [
        source.take(place, shape)
        for (_, place), shape in zip(places, SHAPES, strict=True)
    ]
    return arrays, {place for _, place in places}


def _find_root(source: InspectedFile) -> str:
    """Finds the group that holds the layers in Keras 3's own layout."""
    root = next((name for name in KERAS_3 if name in source.file), None)
    if root is None:
        raise UserError(
            "found no attribute layer_names and no group layers, expected a weights "
            "file as Keras 2 or 3 writes it"
        )
    return root


def _read_keras_3(
    source: InspectedFile, root: str
) -> tuple[list[np.ndarray], set[str]]:
    """Reads the arrays of Keras 3's own layout; returns the paths it used, too."""
    # A name is the class and a rising number; TensorFlow 2.13 skips some numbers.
    layers: dict[str, list[tuple[int, str]]] = {"conv2d": [], "dense": []}
    for place in source.data:
        name = re.fullmatch(rf"{root}/((conv2d|dense)(?:_(\d+))?)/vars/0", place)
        if name:
            layers[name[2]].append((int(name[3] or 0), name[1]))
    expected = {"conv2d": 4, "dense": 2}
    for kind, numbered in layers.items():
        if len(numbered) != expected[kind]:
            raise UserError(
                f"{root}: found {len(numbered)} {kind} layers with weights, expected "
                f"{expected[kind]}, as in the fixed network"
            )
    names = [name for numbered in layers.values() for _, name in sorted(numbered)]
    places = [f"{root}/{name}/vars/{i}" for name in names for i in range(2)]
    for place in places:
        if place not in source.data:
            raise UserError(f"{place}: found no array, expected the layer's bias")
    arrays = [
        source.take(place, shape) for place, shape in zip(places, SHAPES, strict=True)
    ]
    used = set(places)
    for place in source.data:  # dropout's random-number state
        if place.startswith(f"{root}/") and "/seed_generator/vars/" in place:
            source.ignored.append(f"the random-number state in {place}")
            used.add(place)
    return arrays, used


def _read(source: InspectedFile) -> WeightsFile:
    """Reads an inspected file."""
    file = source.file
    config = read_text(file, "model_config", "")
    described = [] if config is None else check_model_config(config)
    if "layer_names" in file.attrs or "model_weights" in file:
        both = ["" if "layer_names" in file.attrs else None]
        both.append("model_weights" if "model_weights" in file else None)
        paths = [path for path in both if path is not None]
        layout = "Keras 2 weights" if paths[0] == "" else "Keras 2 model"
        reads = [_read_keras_2(source, path) for path in paths]
        weights, used = reads[0][0], set().union(*(used for _, used in reads))
        for other, _ in reads[1:]:
            if any(
                not np.array_equal(a, b) for a, b in zip(weights, other, strict=True)
            ):
                raise UserError(
                    "model_weights: found weights that differ from those at the root, "
                    "expected the same: load_model and load_weights would disagree"
                )
        owner = file[paths[0]] if paths[0] else file
        for key in ("backend", "keras_version"):
            value = read_text(owner, key, "") or read_text(file, key, "")
            if not value:
                raise UserError(
                    f"found no attribute {key}, expected one: it says what wrote the "
                    "file"
                )
            if key == "backend" and value == "theano":
                raise UserError(
                    "backend: found 'theano', expected 'tensorflow': loaders would "
                    "flip its kernels"
                )
            if key == "keras_version" and value.startswith("1."):
                raise UserError(
                    f"keras_version: found {brief(value)!r}, expected 2 or 3: loaders "
                    "would convert the weights"
                )
        writer = read_text(owner, "keras_version", "") or read_text(
            file, "keras_version", ""
        )
    else:
        root = _find_root(source)
        weights, used = _read_keras_3(source, root)
        layout, writer = KERAS_3[root], "3" if root == "layers" else "2.13"
    _check_unused(source, used)
    return WeightsFile(
        Parameters.from_arrays(weights),
        layout,
        brief(writer),
        described,
        source.ignored,
    )


def _check_unused(source: InspectedFile, used: set[str]) -> None:
    """Checks that a file has no arrays besides those that were read."""
    for place in source.data:
        if place not in used:
            raise UserError(
                f"{place}: found an array that no layer of the fixed network has, "
                "expected none"
            )


def _read_archive(archive: KerasArchive) -> WeightsFile:
    """Reads what a ``.keras`` file holds."""
    described = check_model_config(archive.config, keras_archive.CONFIG)
    try:
        with open_hdf5(io.BytesIO(archive.weights)) as file:
            source = InspectedFile(file, PASSED_OVER)
            root = _find_root(source)
            weights, used = _read_keras_3(source, root)
            _check_unused(source, used)
    except UserError as error:
        raise UserError(f"{keras_archive.WEIGHTS}: {error}") from None
    return WeightsFile(
        Parameters.from_arrays(weights),
        ARCHIVES[root],
        brief(archive.writer),
        described,
        source.ignored,
    )


def read_contents(path: str | Path) -> WeightsFile:
    """Reads a weights file of any Keras writer.

    Raises:
        UserError: It does not hold exactly the fixed network's weights. One line gives
            the place, what was found and what was expected, but not the file's name.
        OSError: It is missing or cannot be read, or another program has it open for
            writing.
    """
    try:
        # h5py's own message for a folder is half a page long.
        if Path(path).is_dir():
            raise UserError(f"found a folder, expected a weights file: {ADVICE}")
        if not Path(path).stat().st_size:
            raise UserError("found an empty file, expected a weights file")
        if keras_archive.is_archive(path):
            return _read_archive(keras_archive.read_keras_archive(path))
        with open_hdf5(path) as file:
            return _read(InspectedFile(file, PASSED_OVER))
    except UserError as error:
        # The message quotes names from the file, which may be any bytes of any length.
        raise UserError(brief(error, 300)) from None
    except (MemoryError, OSError):  # the file's contents are not to blame
        raise
    except Exception as error:  # h5py raises nearly anything on a damaged file
        raise UserError(
            f"not readable as HDF5 ({brief(error)}): it is cut off, damaged or another "
            f"kind of file; {ADVICE}"
        ) from error


def read_weights_file(path: str | Path) -> WeightsFile:
    """Reads a weights file as `read_contents` does, and names it in every error.

    Raises:
        UserError: It cannot be read, or does not hold exactly the fixed network's
            weights.
    """
    try:
        return read_contents(path)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    except OSError as error:
        if os.path.exists(f"{path}.index"):
            raise UserError(
                f"{path}: found a checkpoint of TensorFlow, expected a weights file: "
                f"restore it and {ADVICE}"
            ) from None
        raise UserError(
            f"{path}: {error.strerror or error}; expected a weights file"
        ) from None


def loaders(contents: WeightsFile, path: str | Path) -> dict[str, list[str]]:
    """Determines which graders load a file, as measured in docs/scorer.md.

    Args:
        contents: What the file holds.
        path: Its name: Keras 2.12 and later expect another layout in ``.weights.h5``,
            and a zip archive in ``.keras``.

    Returns:
        For each grader, which of ``load_weights`` and ``load_model`` give these
        weights.
    """
    named_keras = str(path).endswith(".keras")
    named_3 = str(path).endswith(".weights.h5")
    archive = contents.layout in ARCHIVES.values()
    layout_3 = contents.layout in KERAS_3.values()
    numbers = re.match(r"(\d+)\.(\d+)", contents.writer)
    version = tuple(map(int, numbers.groups())) if numbers else (3, 0)
    old = not layout_3 and not archive
    fits = archive == named_keras
    if "2.13" in contents.layout:  # only versions near 2.13 read it
        fits = False
    new = fits and named_3 == layout_3
    # TensorFlow 2.2 wrote HDF5 under the name .keras, too. Keras 2 still reads it.
    still = old and named_keras
    graders = (
        # Knows neither the keys nor the class Functional of later versions.
        ("TensorFlow 2.2", old, not archive and version <= (2, 3)),
        ("TensorFlow 2.15", new or still, (fits or still) and version <= (2, 15)),
        ("tf_keras 2.21", new or still, (fits or still) and version < (3, 0)),
        # Builds no model from an input shape that is given by the first layer, and none
        # from a .keras file of Keras 2.
        (
            "Keras 3.15",
            new,
            fits
            and contents.described[:1] == ["InputLayer"]
            and (version >= (3, 0) or not archive),
        ),
    )
    return {
        grader: [
            way
            for way, works in (("load_weights", weights), ("load_model", model))
            if works and (way == "load_weights" or contents.described)
        ]
        for grader, weights, model in graders
    }

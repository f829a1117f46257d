"""Anybody's weights file, read as raw HDF5: nothing in it is run or taken on trust.

Keras writers from TensorFlow 2.1 on leave one of these layouts:

- Keras 2, weights: the root names its layers (`layer_names`), each group its arrays
  (`weight_names`).
- Keras 2, whole model (Keras 3 writes it, too, under a name in `.h5`): the same in the
  group `model_weights`, and `model_config` at the root.
- Keras 3, weights (`.weights.h5`): `layers/<kind>/vars/<number>`; TensorFlow 2.13 had
  another name for `layers`.

Whatever is in the file besides is refused, unless every loader passes it over: the
state of an optimizer, of metrics or of random numbers.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from shears.model.architecture import LAYERS, SHAPES
from shears.model.parameters import SMALLEST
from shears.runtime.errors import UserError, brief
from shears.weight_files.model_config import check_model_config

FILTERS = {
    h5py.h5z.FILTER_DEFLATE: "gzip",
    h5py.h5z.FILTER_SHUFFLE: "shuffle",
    h5py.h5z.FILTER_FLETCHER32: "fletcher32",
    h5py.h5z.FILTER_LZF: "lzf",
}
# Groups at the root that no loader of weights looks into.
PASSED_OVER = {
    "optimizer_weights": "the optimizer's state",  # Keras 2's
    "optimizer": "the optimizer's state",  # Keras 3's
    "metrics": "the metrics' state",
}
# The layouts that a group at the root tells.
KERAS_3 = {
    "layers": "Keras 3 weights",
    "_layer_checkpoint_dependencies": "TensorFlow 2.13 weights",
}
MOST_OBJECTS = 10_000
MOST_TEXT = 1 << 20  # bytes of an attribute; a model_config has some 5,000
MOST_CHUNK = 1 << 26  # bytes that a packed chunk may grow to


class Found(NamedTuple):
    """What a weights file holds.

    Attributes:
        weights: The twelve arrays, float32, finite, none denormal.
        layout: "Keras 2 weights", "Keras 2 model" or one of `KERAS_3`.
        writer: The Keras version the file names, or "unknown".
        described: The classes of the layers that its `model_config` describes (which
            is then the fixed network); empty if it has none.
        ignored: What is in it besides that no loader of weights looks at.
    """

    weights: list[np.ndarray]
    layout: str
    writer: str
    described: list[str]
    ignored: list[str]


class _File:
    """An open file, every object in it looked at before any is read."""

    def __init__(self, file: h5py.File) -> None:
        self.file = file
        self.data: dict[str, h5py.Dataset] = {}
        self.ignored: list[str] = []
        self._objects = 0
        self._look(file, "", ())

    def _look(self, group: h5py.Group, path: str, above: Sequence[int]) -> None:
        """Notes every data set below a group; refuses links and what is neither."""
        for name in group:
            where = f"{path}/{name}" if path else name
            self._objects += 1
            if self._objects > MOST_OBJECTS:
                raise UserError(
                    f"found more than {MOST_OBJECTS:,} objects, expected some 60"
                )
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = (
                    "an external" if isinstance(link, h5py.ExternalLink) else "a soft"
                )
                raise UserError(
                    f"{where}: found {kind} link, expected the data themselves"
                )
            if not path and name in PASSED_OVER:
                self.ignored.append(f"{PASSED_OVER[name]} in {name}")
                continue
            item = group[name]
            if isinstance(item, h5py.Dataset):
                self.data[where] = item
            elif isinstance(item, h5py.Group):
                address = h5py.h5o.get_info(item.id).addr
                if address in above:
                    raise UserError(f"{where}: found a group that contains itself")
                self._look(item, where, (*above, address))
            else:
                raise UserError(
                    f"{where}: found a {type(item).__name__}, expected a group or "
                    "an array"
                )

    def take(self, where: str, shape: tuple[int, ...]) -> np.ndarray:
        """Reads an array, once all that it declares is as expected."""
        item = self.data[where]
        if item.dtype != np.dtype("<f4"):
            raise UserError(f"{where}: found dtype {item.dtype}, expected float32")
        if item.shape != shape:
            raise UserError(f"{where}: {_shape_advice(item.shape, shape)}")
        if item.external or item.is_virtual:
            raise UserError(f"{where}: its data are in another file, expected in this")
        created = item.id.get_create_plist()
        for i in range(created.get_nfilters()):
            number, _, _, name = created.get_filter(i)
            if number not in FILTERS:
                raise UserError(
                    f"{where}: found the filter {number} "
                    f"({brief(name.decode(errors='replace'))}), expected none or "
                    f"{', '.join(FILTERS.values())}"
                )
        if item.chunks and np.prod(item.chunks, dtype=float) * 4 > MOST_CHUNK:
            raise UserError(
                f"{where}: found chunks of {item.chunks}, expected at most "
                f"{MOST_CHUNK >> 20} MiB each"
            )
        array = item[()]
        if not np.isfinite(array).all():
            place = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            raise UserError(
                f"{where}: found {array[place]} at {list(place)}, expected finite "
                "numbers"
            )
        denormal = (array != 0) & (np.abs(array) < SMALLEST)
        if denormal.any():
            place = tuple(map(int, np.argwhere(denormal)[0]))
            raise UserError(
                f"{where}: found the denormal {array[place]:g} at {list(place)}, "
                "expected 0: some versions of TensorFlow count it as zero, some do not"
            )
        return array


def _shape_advice(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Says that a shape is another, and what it looks like."""
    text = f"found shape {found}, expected {expected}"
    if len(found) > 1 and sorted(found) == sorted(expected):
        text += ": it looks transposed (Keras stores height, width, in, out)"
    return text


def _text(owner: h5py.Group, key: str, where: str) -> str | None:
    """Reads an attribute that is a text; None if it is not there."""
    values = _attribute(owner, key, where)
    if values is None:
        return None
    if not isinstance(values, bytes | str):
        raise UserError(f"{where}attribute {key}: found no text, expected one")
    return _decode(values, f"{where}attribute {key}")


def _texts(owner: h5py.Group, key: str, where: str) -> list[str] | None:
    """Reads an attribute that is a list of texts; None if it is not there."""
    values = _attribute(owner, key, where)
    if values is None:
        return None
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise UserError(f"{where}attribute {key}: found no list, expected one of names")
    if not values.size:  # an empty list is written as one of numbers
        return []
    if values.size > MOST_OBJECTS or values.dtype.kind not in "SO":
        raise UserError(f"{where}attribute {key}: found no names, expected some")
    return [_decode(value, f"{where}attribute {key}") for value in values]


def _attribute(owner: h5py.Group, key: str, where: str):
    """Reads an attribute of a sensible size; None if it is not there."""
    if key not in owner.attrs:
        return None
    stored = owner.attrs.get_id(key)
    size = int(np.prod(stored.shape, dtype=float)) * stored.dtype.itemsize
    if size > MOST_TEXT:
        raise UserError(
            f"{where}attribute {key}: found {size:,} bytes, expected at most "
            f"{MOST_TEXT:,}"
        )
    return owner.attrs[key]


def _decode(value: bytes | str, where: str) -> str:
    """Turns what h5py gives into text."""
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode()
    except (TypeError, UnicodeDecodeError):
        raise UserError(f"{where}: found no text in UTF-8, expected one") from None


def _keras_2_places(group: h5py.Group, path: str) -> Iterator[tuple[str, str]]:
    """Lists layer and array, as path in the file, in the order of the names given."""
    where = f"{path}: " if path else ""
    names = _texts(group, "layer_names", where)
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
        arrays = _texts(group[layer], "weight_names", f"{prefix}{layer}: ")
        if arrays is None:
            raise UserError(
                f"{prefix}{layer}: found no attribute weight_names, expected the list "
                "of its arrays"
            )
        for array in arrays:
            yield layer, f"{prefix}{layer}/{array}"


def _read_keras_2(opened: _File, path: str) -> tuple[list[np.ndarray], set[str]]:
    """Reads the arrays below the root ("") or a group; also the data sets it used."""
    group = opened.file[path] if path else opened.file
    places = list(_keras_2_places(group, path))
    for _, place in places:
        if place not in opened.data:
            raise UserError(
                f"{place}: found no array, expected one: weight_names lists it"
            )
    shapes = [opened.data[place].shape for _, place in places]
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
        found = place.rsplit("/", 1)[-1].split(":")[0]
        if found != kind:
            raise UserError(
                f"{place}: found {found!r} as array {number + 1}, expected {kind!r}"
            )
    arrays = [
        opened.take(place, shape)
        for (_, place), shape in zip(places, SHAPES, strict=True)
    ]
    return arrays, {place for _, place in places}


def _read_keras_3(opened: _File, root: str) -> tuple[list[np.ndarray], set[str]]:
    """Reads the arrays of Keras 3's own layout; also the data sets it used."""
    # Names are the class and a number that rises; TensorFlow 2.13 leaves numbers out.
    found: dict[str, list[tuple[int, str]]] = {"conv2d": [], "dense": []}
    for place in opened.data:
        name = re.fullmatch(rf"{root}/((conv2d|dense)(?:_(\d+))?)/vars/0", place)
        if name:
            found[name[2]].append((int(name[3] or 0), name[1]))
    wanted = {"conv2d": 4, "dense": 2}
    for kind, layers in found.items():
        if len(layers) != wanted[kind]:
            raise UserError(
                f"{root}: found {len(layers)} layers {kind} with weights, expected "
                f"{wanted[kind]}, as the fixed network has"
            )
    names = [name for layers in found.values() for _, name in sorted(layers)]
    places = [f"{root}/{name}/vars/{i}" for name in names for i in range(2)]
    for place in places:
        if place not in opened.data:
            raise UserError(f"{place}: found no array, expected the layer's bias")
    arrays = [
        opened.take(place, shape) for place, shape in zip(places, SHAPES, strict=True)
    ]
    used = set(places)
    for place in opened.data:  # dropout's state of random numbers
        if place.startswith(f"{root}/") and "/seed_generator/vars/" in place:
            opened.ignored.append(f"the state of random numbers in {place}")
            used.add(place)
    return arrays, used


def _read(opened: _File) -> Found:
    """Reads an open file."""
    file = opened.file
    config = _text(file, "model_config", "")
    described = [] if config is None else check_model_config(config)
    if "layer_names" in file.attrs or "model_weights" in file:
        both = ["" if "layer_names" in file.attrs else None]
        both.append("model_weights" if "model_weights" in file else None)
        paths = [path for path in both if path is not None]
        layout = "Keras 2 weights" if paths[0] == "" else "Keras 2 model"
        reads = [_read_keras_2(opened, path) for path in paths]
        weights, used = reads[0][0], set().union(*(used for _, used in reads))
        for other, _ in reads[1:]:
            if any(
                not np.array_equal(a, b) for a, b in zip(weights, other, strict=True)
            ):
                raise UserError(
                    "model_weights: found other weights than at the root, expected the "
                    "same: load_model and load_weights would differ"
                )
        named = file[paths[0]] if paths[0] else file
        for key in ("backend", "keras_version"):
            value = _text(named, key, "") or _text(file, key, "")
            if not value:
                raise UserError(
                    f"found no attribute {key}, expected what wrote the file"
                )
            if key == "backend" and value == "theano":
                raise UserError(
                    "backend: found 'theano', expected 'tensorflow': loaders would "
                    "turn its kernels round"
                )
            if key == "keras_version" and value.startswith("1."):
                raise UserError(
                    f"keras_version: found {brief(value)!r}, expected 2 or 3: loaders "
                    "would convert the weights"
                )
        writer = _text(named, "keras_version", "") or _text(file, "keras_version", "")
    else:
        root = next((name for name in KERAS_3 if name in file), None)
        if root is None:
            raise UserError(
                "found no attribute layer_names and no group layers, expected a "
                "weights file as Keras 2 or 3 writes it"
            )
        weights, used = _read_keras_3(opened, root)
        layout, writer = KERAS_3[root], "3" if root == "layers" else "2.13"
    for place in opened.data:
        if place not in used:
            raise UserError(
                f"{place}: found an array that no layer of the fixed network has, "
                "expected none"
            )
    return Found(weights, layout, brief(writer), described, opened.ignored)


def read_keras_file(path: str | Path) -> Found:
    """Reads a weights file of any Keras writer.

    Raises:
        UserError: It cannot be read, or is not exactly the fixed network's weights: in
            one line where, what was found and what was expected.
    """
    try:
        # h5py tells of a folder in half a page.
        if Path(path).is_dir():
            raise UserError("found a folder, expected a weights file")
        if not Path(path).stat().st_size:
            raise UserError("found an empty file, expected HDF5")
        with h5py.File(path, "r") as file:
            return _read(_File(file))
    except UserError as error:
        # It quotes names that are in the file: any bytes, as long as it likes.
        raise UserError(f"{path}: {brief(error, 300)}") from None
    except MemoryError:
        raise
    except (FileNotFoundError, PermissionError) as error:
        raise UserError(
            f"{path}: {error.strerror or error}; expected a weights file"
        ) from None
    except Exception as error:  # h5py raises nearly anything on a damaged file
        raise UserError(
            f"{path}: not readable as HDF5 ({brief(error)}): it is cut off, damaged or "
            "another kind of file"
        ) from error


def who_loads(found: Found, path: str | Path) -> dict[str, list[str]]:
    """Says which graders load a file, as was measured (docs/scorer.md).

    Args:
        found: What is in it.
        path: Its name: from Keras 2.12 on another layout is expected of `.weights.h5`.

    Returns:
        For each grader which of `load_weights` and `load_model` give these weights.
    """
    named_3 = str(path).endswith(".weights.h5")
    layout_3 = found.layout in KERAS_3.values()
    numbers = re.match(r"(\d+)\.(\d+)", found.writer)
    version = tuple(map(int, numbers.groups())) if numbers else (3, 0)
    old, new = not layout_3, named_3 == layout_3
    if found.layout == "TensorFlow 2.13 weights":  # it alone, and those close to it
        new = False
    return {
        grader: [
            way
            for way, works in (("load_weights", weights), ("load_model", model))
            if works and (way == "load_weights" or found.described)
        ]
        for grader, weights, model in (
            # It knows neither the keys nor the class Functional of later versions.
            ("TensorFlow 2.2", old, version <= (2, 3)),
            ("TensorFlow 2.15", new, version <= (2, 15)),
            ("tf_keras 2.21", new, version < (3, 0)),
            # It builds nothing from a shape that the first layer has.
            ("Keras 3.15", new, found.described[:1] == ["InputLayer"]),
        )
    }

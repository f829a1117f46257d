"""Groups of Keras 2's layout, as nobody has seen them: drawn from a seed."""

from collections.abc import Callable
from typing import Any, NamedTuple

import h5py
import numpy as np

from shears.model.architecture import LAYERS, NAMES
from tools.keras_files import pattern

Arrays = list[np.ndarray]


def network() -> Arrays:
    """Makes weights that pack into a few kB and load quickly."""
    arrays = pattern([(*layer.kernel,) for layer in LAYERS])
    biases = pattern([layer.kernel[-1:] for layer in LAYERS])
    return [array for pair in zip(arrays, biases, strict=True) for array in pair]


def store(group: h5py.Group, name: str, array: np.ndarray) -> None:
    group.create_dataset(name, data=array, compression="gzip", compression_opts=1)


def _names(names: list[str], how: str) -> np.ndarray | list[str]:
    """Makes an attribute that lists names, in one of the ways of h5py."""
    if how == "unicode" and names:
        return np.array(names, h5py.string_dtype("utf-8"))
    if how == "variable" and names:
        return np.array(names, h5py.string_dtype("ascii"))
    return np.array(names, "S")


class Groups(NamedTuple):
    """What a group of Keras 2's layout holds: layers in order, with their arrays."""

    layers: list[tuple[str, list[tuple[str, np.ndarray]]]]

    def write(
        self,
        group: h5py.Group,
        *,
        names: str = "bytes",
        attributes: dict[str, Any] | None = None,
        several: bool = False,
    ) -> None:
        """Writes them; names are stored as `names` says, or as several attributes."""
        listed = [layer for layer, _ in self.layers]
        if several:
            for i, layer in enumerate(listed):
                group.attrs[f"layer_names{i}"] = _names([layer], names)
        else:
            group.attrs["layer_names"] = _names(listed, names)
        for layer, arrays in self.layers:
            inner = group.require_group(layer)
            for name, array in arrays:
                if name not in inner:
                    store(inner, name, array)
            if several and arrays:
                for i, (name, _) in enumerate(arrays):
                    inner.attrs[f"weight_names{i}"] = _names([name], names)
            else:
                inner.attrs["weight_names"] = _names([n for n, _ in arrays], names)
        default = {"backend": "tensorflow", "keras_version": "2.3.0-tf"}
        for key, value in (default | (attributes or {})).items():
            if value is not None:
                text = value if names == "unicode" else np.bytes_(value)
                group.attrs[key] = text


def plain() -> Groups:
    arrays = dict(zip(NAMES, network(), strict=True))
    return Groups(
        [
            (
                layer.name,
                [(n, a) for n, a in arrays.items() if n.startswith(f"{layer.name}/")],
            )
            for layer in LAYERS
        ]
    )


def wrapped(groups: Groups, first: int, last: int, name: str = "model") -> Groups:
    """Puts the layers from `first` up to `last` into one, as an inner model is."""
    inner = [pair for _, arrays in groups.layers[first:last] for pair in arrays]
    return Groups([*groups.layers[:first], (name, inner), *groups.layers[last:]])


def split(groups: Groups, which: int) -> Groups:
    """Splits a layer's arrays over two groups."""
    name, arrays = groups.layers[which]
    halves = [(name, arrays[:1]), (f"{name}_more", arrays[1:])]
    return Groups([*groups.layers[:which], *halves, *groups.layers[which + 1 :]])


def shared(groups: Groups, which: int) -> Groups:
    """Moves the bias of a layer to the next one."""
    layers = list(groups.layers)
    (name, arrays), (after, others) = layers[which : which + 2]
    layers[which : which + 2] = [(name, arrays[:1]), (after, [arrays[1], *others])]
    return Groups(layers)


def _replace(
    groups: Groups, which: int, change: Callable[[np.ndarray], np.ndarray]
) -> Groups:
    """Changes one of the twelve arrays."""
    layers = [(name, list(arrays)) for name, arrays in groups.layers]
    arrays = layers[which // 2][1]
    name, array = arrays[which % 2]
    arrays[which % 2] = (name, change(array))
    return Groups(layers)


def changed(groups: Groups, number: float) -> Groups:
    """Changes one weight of the first kernel."""

    def change(array: np.ndarray) -> np.ndarray:
        array = array.copy()
        array[0, 0, 0, 0] = number
        return array

    return _replace(groups, 0, change)


def _map(groups: Groups, change: Callable[[np.ndarray], np.ndarray]) -> Groups:
    for which in range(12):
        groups = _replace(groups, which, change)
    return groups


def _batch_norm() -> tuple[str, list]:
    names = ["gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"]
    arrays = [np.ones(32, np.float32) for _ in names]
    return "batch_normalization", list(zip(names, arrays, strict=True))


def draw_groups(random: np.random.Generator) -> Groups:
    """Draws layers, mostly with something unusual."""
    groups = plain()
    whole = len(groups.layers)
    which = int(random.integers(whole))
    kind = random.choice(
        [
            *("plain", "empty", "empty", "renamed", "renamed", "slashes", "arrays"),
            *("nested", "nested", "wrapped", "split", "shared", "reordered"),
            *("missing", "twice", "batch norm", "batch norm split", "weight_names"),
            *("float16", "float64", "one float64", "big-endian", "integers"),
            *("transposed", "theano's", "absolute", "dots", "no bias"),
        ]
    )
    if kind == "empty":
        for name in ("activation", "dropout", "flatten", "random_flip")[: which + 1]:
            groups.layers.insert(int(random.integers(len(groups.layers))), (name, []))
    elif kind == "renamed":
        order = random.permutation(whole)
        groups = Groups(
            [(f"l{i}", a) for i, (_, a) in zip(order, groups.layers, strict=True)]
        )
    elif kind == "slashes":
        groups = Groups([(f"scope/{n}", a) for n, a in groups.layers])
    elif kind == "arrays":
        groups = Groups(
            [
                (n, [(f"v/{i}", x) for i, (_, x) in enumerate(a)])
                for n, a in groups.layers
            ]
        )
    elif kind == "nested":
        groups = wrapped(groups, 0, whole)
    elif kind == "wrapped":
        groups = wrapped(groups, which, min(which + 2, whole))
    elif kind == "split":
        groups = split(groups, which)
    elif kind == "shared":
        groups = shared(groups, min(which, whole - 2))
    elif kind == "reordered":
        groups = Groups([groups.layers[i] for i in random.permutation(whole)])
    elif kind == "missing":
        del groups.layers[which]
    elif kind == "twice":
        groups.layers.append(groups.layers[which])
    elif kind == "batch norm":
        groups.layers.insert(which, _batch_norm())
    elif kind == "batch norm split":
        name, arrays = _batch_norm()
        groups.layers[which : which + 1] = [
            (groups.layers[which][0], groups.layers[which][1] + arrays[:2]),
            (name, arrays[2:]),
        ]
    elif kind == "weight_names":
        name, arrays = groups.layers[which]
        groups.layers[which] = (name, arrays[::-1])
    elif kind == "no bias":
        name, arrays = groups.layers[which]
        groups.layers[which] = (name, arrays[:1])
    elif kind in ("float16", "float64"):
        groups = _map(groups, lambda array: array.astype(kind))
    elif kind == "one float64":
        groups = _replace(groups, 2 * which, lambda a: a.astype("f8") + 1e-10)
    elif kind == "big-endian":
        groups = _map(groups, lambda array: array.astype(">f4"))
    elif kind == "integers":
        groups = _replace(groups, 2 * which + 1, lambda array: array.astype(int))
    elif kind == "transposed":
        groups = _replace(groups, 2 * which, np.transpose)
    elif kind == "theano's":  # TensorFlow 2 turns these round, Keras 3 does not
        groups = _replace(groups, 0, lambda a: np.transpose(a, (3, 2, 0, 1)))
    elif kind == "absolute":
        groups = Groups([(f"/{n}", a) for n, a in groups.layers])
    elif kind == "dots":
        groups = Groups([(f"./{n}", a) for n, a in groups.layers])
    return groups

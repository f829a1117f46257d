"""Weights files: the `.h5` layout that TensorFlow 2.1 to Keras 3 load alike.

Keras 2's layout, written by h5py: `load_weights` finds the root's groups, `load_model`
the `model_config` and the same data under `model_weights`. All attributes are
fixed-length bytes, because TensorFlow 2.2 cannot read others.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from shears.model.architecture import INPUT_SHAPE, LAYERS, SHAPES
from shears.model.parameters import SMALLEST, clean
from shears.runtime.errors import UserError
from shears.runtime.files import damaged, verify, write_bytes

NAMES = tuple(
    f"{layer.name}/{kind}:0" for layer in LAYERS for kind in ("kernel", "bias")
)


def _model_config() -> str:
    """Describes the network as Keras' JSON, keys that every version knows only."""

    def conv(layer) -> dict:
        return {
            "name": layer.name,
            "filters": layer.kernel[-1],
            "kernel_size": list(layer.kernel[:2]),
            "padding": layer.padding.lower(),
            "activation": "relu",
        }

    def dense(layer, activation: str) -> dict:
        return {
            "name": layer.name,
            "units": layer.kernel[-1],
            "activation": activation,
        }

    def pool(name: str) -> tuple[str, dict]:
        return "MaxPooling2D", {"name": name, "pool_size": [2, 2]}

    def dropout(name: str, rate: float) -> tuple[str, dict]:
        return "Dropout", {"name": name, "rate": rate}

    c1, c2, c3, c4, d1, d2 = LAYERS
    shape = [None, *INPUT_SHAPE]
    layers = [
        ("InputLayer", {"name": "input_1", "batch_input_shape": shape}),
        ("Conv2D", conv(c1)),
        ("Conv2D", conv(c2)),
        pool("max_pooling2d"),
        dropout("dropout", 0.25),
        ("Conv2D", conv(c3)),
        ("Conv2D", conv(c4)),
        pool("max_pooling2d_1"),
        dropout("dropout_1", 0.25),
        ("Flatten", {"name": "flatten"}),
        ("Dense", dense(d1, "relu")),
        dropout("dropout_2", 0.5),
        ("Dense", dense(d2, "softmax")),
    ]
    described = [{"class_name": kind, "config": config} for kind, config in layers]
    return json.dumps(
        {"class_name": "Sequential", "config": {"name": "shears", "layers": described}}
    )


def write_weights(path: str | Path, weights: Sequence[np.ndarray]) -> None:
    """Writes a weights file; the same weights give the same bytes.

    Args:
        path: Where to. Not a name that ends in ".weights.h5": Keras 3 expects another
            layout there.
        weights: The twelve arrays; written as `clean` makes them.

    Raises:
        UserError: A weight is NaN or infinite.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["layer_names"] = np.array([layer.name for layer in LAYERS], "S")
        file.attrs["backend"] = np.bytes_("tensorflow")
        file.attrs["keras_version"] = np.bytes_("2.3.0-tf")
        file.attrs["model_config"] = np.bytes_(_model_config())
        copy = file.create_group("model_weights")
        for key in ("layer_names", "backend", "keras_version"):
            copy.attrs[key] = file.attrs[key]
        for name, array in zip(NAMES, clean(weights), strict=True):
            if not np.isfinite(array).all():
                raise UserError(
                    f"{path}: {name} has a NaN or infinite weight; not written"
                )
            layer = name.split("/")[0]
            group = file.require_group(layer)
            group.create_dataset(
                name, data=array, compression="gzip", shuffle=True, track_times=False
            )
        for layer in LAYERS:
            names = [name for name in NAMES if name.startswith(f"{layer.name}/")]
            file[layer.name].attrs["weight_names"] = np.array(names, "S")
            copy[layer.name] = file[layer.name]  # a hard link, no second copy
    write_bytes(path, content.getbuffer())


def _read_arrays(file: h5py.File) -> dict[str, np.ndarray]:
    """Reads an open file's arrays, and nothing that is not what `write_weights` wrote.

    Raises:
        UserError: Without the file's name: what is wrong with it.
    """
    expected = {f"/{name.split('/')[0]}/{name}": name for name in NAMES}
    found: dict[str, h5py.Dataset] = {}

    def note(_, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[item.name] = item

    for name in file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise UserError(f"{name} is a link to elsewhere")
        if isinstance(file[name], h5py.Dataset):
            raise UserError(f"there is a stray data set {name}")
        if name != "model_weights":
            file[name].visititems(note)
    for name in [*(expected.keys() - found.keys()), *(found.keys() - expected.keys())]:
        what = "no" if name in expected else "a stray"
        raise UserError(f"there is {what} data set {name}")
    for layer in LAYERS:
        names = [name for name in NAMES if name.startswith(f"{layer.name}/")]
        if list(file[layer.name].attrs["weight_names"].astype(str)) != names:
            raise UserError(f"weight_names of {layer.name} are not the layer's")
    if list(file.attrs["layer_names"].astype(str)) != [x.name for x in LAYERS]:
        raise UserError("layer_names are not the fixed network's")
    if file.attrs["model_config"] != np.bytes_(_model_config()):
        raise UserError("model_config is not the fixed network's")
    arrays = {}
    for (path, name), shape in zip(expected.items(), SHAPES, strict=True):
        item = found[path]
        # Before the data are read: a damaged shape may ask for any amount of memory.
        if item.shape != shape or item.dtype != np.float32:
            raise UserError(
                f"{name} is {item.dtype} {item.shape}, expected float32 {shape}"
            )
        if item.external or item.is_virtual:
            raise UserError(f"the data of {name} are in another file")
        arrays[name] = item[()]
    return arrays


def read_weights(path: str | Path) -> list[np.ndarray]:
    """Reads a weights file in the layout of `write_weights`, and refuses any doubt.

    Returns:
        The twelve arrays, float32, finite, none denormal.

    Raises:
        UserError: It is not what was written (`verify`) or cannot be read;
            an array is missing, too many, of another shape or dtype; a weight is NaN,
            infinite or denormal; the model is another network.
    """
    verify(path)
    try:
        with h5py.File(path, "r") as file:
            arrays = _read_arrays(file)
    except UserError as error:
        raise damaged(path, error) from None
    except (MemoryError, PermissionError):  # the file is not to blame
        raise
    except Exception as error:  # h5py raises nearly anything on a damaged file
        raise damaged(path, f"not HDF5: {error}") from error
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise damaged(path, f"{name} has a NaN or infinite weight")
        if ((array != 0) & (np.abs(array) < SMALLEST)).any():
            raise UserError(
                f"{path}: {name} has a denormal weight, which some versions of "
                "TensorFlow count as zero and some not; set it to 0"
            )
    return list(arrays.values())

"""Our weights files: the ``.h5`` layout that TensorFlow 2.1 to Keras 3 all load.

It is Keras 2's layout, written with h5py: ``load_weights`` reads the groups at the
root, ``load_model`` reads ``model_config`` and the same data under ``model_weights``.
All attributes are fixed-length bytes, because TensorFlow 2.2 cannot read others.
"""

import io
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from shears.model.architecture import INPUT_SHAPE, LAYERS, NAMES, Layer
from shears.model.parameters import Parameters
from shears.runtime.errors import UserError
from shears.runtime.files import damaged, open_regular, verify, write_bytes
from shears.weight_files.reader import read_contents


def _model_config() -> str:
    """Describes the network in Keras' JSON, with keys that every version knows."""

    def conv(layer: Layer) -> dict[str, Any]:
        return {
            "name": layer.name,
            "filters": layer.kernel[-1],
            "kernel_size": list(layer.kernel[:2]),
            "padding": layer.padding.lower(),
            "activation": "relu",
        }

    def dense(layer: Layer, activation: str) -> dict[str, Any]:
        return {
            "name": layer.name,
            "units": layer.kernel[-1],
            "activation": activation,
        }

    def pool(name: str) -> tuple[str, dict[str, Any]]:
        return "MaxPooling2D", {"name": name, "pool_size": [2, 2]}

    def dropout(name: str, rate: float) -> tuple[str, dict[str, Any]]:
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
    entries = [{"class_name": kind, "config": config} for kind, config in layers]
    return json.dumps(
        {"class_name": "Sequential", "config": {"name": "shears", "layers": entries}}
    )


def write_weights(path: str | Path, parameters: Parameters) -> None:
    """Writes a weights file; the same parameters give the same bytes.

    Args:
        path: The file. Its name must not end in ".weights.h5", where Keras 3 expects
            another layout.
        parameters: Written as float32, without denormals.

    Raises:
        UserError: A weight is NaN or infinite.
    """
    arrays = dict(zip(NAMES, parameters.without_denormals().arrays, strict=True))
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise UserError(f"{path}: {name} has a NaN or infinite weight; not written")
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["layer_names"] = np.array([layer.name for layer in LAYERS], "S")
        file.attrs["backend"] = np.bytes_("tensorflow")
        file.attrs["keras_version"] = np.bytes_("2.3.0-tf")
        file.attrs["model_config"] = np.bytes_(_model_config())
        copy = file.create_group("model_weights")
        for key in ("layer_names", "backend", "keras_version"):
            copy.attrs[key] = file.attrs[key]
        for name, array in arrays.items():
            group = file.require_group(name.split("/")[0])
            group.create_dataset(
                name, data=array, compression="gzip", shuffle=True, track_times=False
            )
        for layer in LAYERS:
            names = [name for name in NAMES if name.startswith(f"{layer.name}/")]
            file[layer.name].attrs["weight_names"] = np.array(names, "S")
            copy[layer.name] = file[layer.name]  # a hard link, no second copy
    write_bytes(path, content.getbuffer())


def read_weights(path: str | Path) -> Parameters:
    """Reads a weights file that `write_weights` wrote, and refuses anything else.

    Returns:
        float32, finite, without denormals.

    Raises:
        UserError: It is not what was written (`verify`), or not the fixed network's
            weights in this layout (`read_contents`).
        OSError: It is missing or not readable.
    """
    verify(path)
    with open_regular(path, "a weights file") as file:
        try:
            contents = read_contents(file)
        except UserError as error:
            raise damaged(path, error) from error
    if contents.layout != "Keras 2 weights":
        reason = f"found the layout {contents.layout}, expected Keras 2 weights"
        raise damaged(path, reason)
    if not contents.described:
        raise damaged(path, "found no model_config")
    if contents.ignored:
        raise damaged(path, f"found {contents.ignored[0]}, expected weights only")
    return contents.parameters

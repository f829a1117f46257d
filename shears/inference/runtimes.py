"""Runtimes that compute an exported network, each as a function of images.

They are imported when they are used: the main workflow needs none of them.
"""

import importlib
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from shears.runtime.errors import UserError, brief

#: (N, 32, 32, 3) float32, pixels / 255, to (N, 10): logits or probabilities.
Predict = Callable[[np.ndarray], np.ndarray]


def require(package: str) -> Any:
    """Imports a package that the library does without otherwise.

    Raises:
        UserError: It is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.partition(".")[0].replace("_", "-")
        raise UserError(
            f"found no package {name} ({brief(error)}), which this needs; in a "
            "checkout of Shears: pip install '.[inference]'"
        ) from None


def open_onnx(model: bytes, threads: int = 1) -> Predict:
    """Opens an ONNX model in ONNX Runtime, on the CPU; it gives logits.

    Raises:
        UserError: ONNX Runtime is not installed.
    """
    onnxruntime = require("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
    return lambda images: session.run(["logits"], {"images": images})[0]


def open_litert(model: bytes, threads: int = 1) -> Predict:
    """Opens a ``.tflite`` model in LiteRT with its XNNPACK kernels; it gives logits.

    Raises:
        UserError: LiteRT is not installed, or its kernels do not take the model; then
            the function raises it.
    """
    interpreters = require("ai_edge_litert.interpreter")
    interpreter = interpreters.Interpreter(model_content=model, num_threads=threads)
    (given,) = interpreter.get_input_details()
    (result,) = interpreter.get_output_details()
    shape: tuple[int, ...] = ()

    def predict(images: np.ndarray) -> np.ndarray:
        nonlocal shape
        if images.shape != shape:
            interpreter.resize_tensor_input(given["index"], images.shape)
            try:
                interpreter.allocate_tensors()
            except RuntimeError as error:
                raise UserError(
                    f"LiteRT cannot run the model: {brief(error)}; its int8 kernels "
                    "take no layer whose outputs are 0 for all calibration images"
                ) from None
            shape = images.shape
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    return predict


def open_keras(model: bytes) -> Predict:
    """Opens a ``.keras`` model of our own; ``predict`` gives probabilities."""
    from shears.runtime.backend import tf

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it was not compiled for training
        path = Path(folder, "network.keras")
        path.write_bytes(model)
        network = tf.keras.models.load_model(path)
    return lambda images: network.predict(images, batch_size=len(images), verbose=0)

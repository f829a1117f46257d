"""Exports of a compact network: ONNX, LiteRT and Keras.

All take pixels / 255 as (N, 32, 32, 3) float32. ONNX and LiteRT models give logits;
the Keras model ends with softmax, as the assignment's network does.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from shears.inference.compact_network import CompactNetwork
from shears.inference.compaction import logits
from shears.inference.runtimes import require
from shears.model.architecture import CLASSES, INPUT_SHAPE, LAYERS
from shears.runtime.backend import quiet, tf

#: ONNX operators and file version that ONNX Runtime has taken since 2022, also in its
#: builds for the web and for phones.
OPSET, IR_VERSION = 17, 8
INPUTS = int(np.prod(INPUT_SHAPE))


def to_onnx(network: CompactNetwork) -> bytes:
    """Exports to ONNX (https://onnx.ai), without layers that transpose the weights.

    Args:
        network: The network; a constant one becomes a product with zeros.

    Returns:
        The file, with an input "images" and an output "logits", both float32, and a
        batch of any size.

    Raises:
        UserError: The package onnx is not installed.
    """
    onnx = require("onnx")
    helper = onnx.helper
    nodes: list[Any] = []
    weights: list[Any] = []
    last = "images"

    def add(
        kind: str, *arrays: np.ndarray, output: str = "", **attributes: Any
    ) -> None:
        """Adds a node after the last one."""
        nonlocal last
        names = [f"{kind}_{len(nodes)}_{i}" for i in range(len(arrays))]
        weights.extend(
            onnx.numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in zip(names, arrays, strict=True)
        )
        output = output or f"x{len(nodes)}"
        nodes.append(helper.make_node(kind, [last, *names], [output], **attributes))
        last = output

    kernels, biases = network.kernels, network.biases
    if network.constant:
        zeros = np.zeros((INPUTS, CLASSES), np.float32)
        add("Flatten")
        add("Gemm", zeros, biases[-1], output="logits")
    else:
        add("Transpose", perm=[0, 3, 1, 2])
        for i, layer in enumerate(LAYERS[:4]):
            kernel = kernels[i].transpose(3, 2, 0, 1)  # (out, in, 3, 3)
            pads = [1] * 4 if layer.padding == "SAME" else [0] * 4
            add("Conv", kernel, biases[i], kernel_shape=[3, 3], pads=pads)
            add("Relu")
            if i % 2:
                add("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
        add("Flatten")  # channel, y, x
        rows = kernels[4].reshape(36, -1, kernels[4].shape[1]).transpose(1, 0, 2)
        add("Gemm", rows.reshape(kernels[4].shape), biases[4])
        add("Relu")
        add("Gemm", kernels[5], biases[5], output="logits")
    graph = helper.make_graph(
        nodes,
        "shears",
        [helper.make_tensor_value_info("images", 1, ["N", *INPUT_SHAPE])],
        [helper.make_tensor_value_info("logits", 1, ["N", CLASSES])],
        weights,
    )
    model = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="shears",
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def to_litert(network: CompactNetwork, calibration: np.ndarray | None = None) -> bytes:
    """Exports to LiteRT, which was TensorFlow Lite.

    Args:
        network: The network.
        calibration: (N, 32, 32, 3) float32: training images. With them, weights and
            activations become int8 (Jacob et al. 2018); inputs and outputs stay float.

    Returns:
        The ``.tflite`` file, with a batch of any size.
    """

    def run(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"logits": logits(network, images)}

    signature = [tf.TensorSpec((None, *INPUT_SHAPE), tf.float32, "images")]
    module = tf.Module()
    module.run = tf.function(run, input_signature=signature, autograph=False)
    with quiet():
        concrete = module.run.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module)
        if calibration is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [image[None]] for image in calibration
            )
        return converter.convert()


def to_keras(network: CompactNetwork) -> bytes:
    """Exports to a Keras model without dropout.

    Args:
        network: The network; a constant one becomes a product with zeros.

    Returns:
        The ``.keras`` file.
    """
    layers = tf.keras.layers
    stack = [layers.Input(INPUT_SHAPE)]
    if network.constant:
        stack += [layers.Flatten(), layers.Dense(CLASSES, activation="softmax")]
        zeros = np.zeros((INPUTS, CLASSES), np.float32)
        weights = [zeros, network.biases[-1]]
    else:
        for i, (layer, units) in enumerate(zip(LAYERS, network.widths, strict=False)):
            if layer.padding:
                stack.append(
                    layers.Conv2D(
                        units,
                        3,
                        padding=layer.padding.lower(),
                        activation="relu",
                        name=layer.name,
                    )
                )
                if i % 2:
                    stack.append(layers.MaxPooling2D())
            else:
                stack.append(layers.Flatten())
                stack.append(layers.Dense(units, activation="relu", name=layer.name))
        stack.append(layers.Dense(CLASSES, activation="softmax", name=LAYERS[-1].name))
        pairs = zip(network.kernels, network.biases, strict=True)
        weights = [array for pair in pairs for array in pair]
    model = tf.keras.Sequential(stack)
    model.set_weights(weights)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.keras")
        model.save(path)
        return path.read_bytes()

"""The assignment's fixed architecture, as names and shapes.

Source: CMU 10-405/10-605 (spring 2020), homework 5, reference [1] (Keras' cifar10_cnn).
"""

from typing import NamedTuple

import numpy as np

INPUT_SHAPE = (32, 32, 3)
CLASSES = 10


class Layer(NamedTuple):
    """A layer that has weights.

    Attributes:
        name: Its name in Keras and in weights files.
        kernel: Shape of the kernel: (height, width, in, out) or (in, out).
        padding: "SAME" or "VALID" for a convolution, "" for a dense layer.
    """

    name: str
    kernel: tuple[int, ...]
    padding: str


#: The layers that have weights, in order.
LAYERS = (
    Layer("conv2d", (3, 3, 3, 32), "SAME"),
    Layer("conv2d_1", (3, 3, 32, 32), "VALID"),
    Layer("conv2d_2", (3, 3, 32, 64), "SAME"),
    Layer("conv2d_3", (3, 3, 64, 64), "VALID"),
    Layer("dense", (2304, 512), ""),
    Layer("dense_1", (512, CLASSES), ""),
)
# Kernel and bias of each layer in turn: the order of every list and flat vector.
SHAPES: tuple[tuple[int, ...], ...] = tuple(
    shape for layer in LAYERS for shape in (layer.kernel, layer.kernel[-1:])
)
NAMES = tuple(
    f"{layer.name}/{kind}:0" for layer in LAYERS for kind in ("kernel", "bias")
)
SIZES = tuple(int(np.prod(shape)) for shape in SHAPES)
PARAMETERS = sum(SIZES)  # 1,250,858
KERNEL_SIZES = tuple(int(np.prod(layer.kernel)) for layer in LAYERS)
HIDDEN = range(len(LAYERS) - 1)  # indices of all layers but the last

"""The network's forward pass in numpy alone, for machines without TensorFlow.

A convolution is one matrix product for a block of images. Channels come first, so the
product's output is the next layer's input, and the rows of the product's right factor
are shifted planes of it (im2col). Rows that only meet zeros of the kernel are left out,
and so are units that no output depends on: a pruned network is computed faster. Where
float32 might overflow, nothing is left out, because infinity times zero is no zero.
"""

from collections.abc import Callable

import numpy as np

from shears.model.architecture import CLASSES, HIDDEN, INPUT_SHAPE, LAYERS
from shears.model.parameters import Parameters

#: Images at a time: a layer's matrices then fit into a processor's cache.
BLOCK = 8
_DENSE = 4  # index of the dense hidden layer


def _may_overflow(parameters: Parameters) -> bool:
    """Returns whether a hidden unit of some image might be infinite in float32."""
    largest = 1.0  # of the inputs
    for i in HIDDEN:
        kernel = np.abs(parameters.kernels[i].astype(np.float64))
        sums = kernel.reshape(-1, kernel.shape[-1]).sum(0)
        largest = float((sums * largest + np.abs(parameters.biases[i])).max())
        if largest > 1e38:  # float32 goes to 3.4e38, but sums are rounded
            return True
    return False


def _kernels(
    parameters: Parameters, *, whole: bool
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Returns kernels and biases, if not whole without units that no layer uses."""
    kernels, biases = [], []
    inputs = np.ones(INPUT_SHAPE[-1], bool)
    for i, layer in enumerate(LAYERS):
        units = np.ones(layer.kernel[-1], bool)
        if i in HIDDEN and not whole:
            units = np.any(parameters.outgoing(i), (0, 2))
        positions = 36 if i == _DENSE else int(np.prod(layer.kernel[:-2]))
        kernel = parameters.kernels[i].reshape(positions, -1, layer.kernel[-1])
        kernels.append(kernel[:, inputs][..., units])
        biases.append(parameters.biases[i][units])
        inputs = units
    return kernels, biases


def _convolve(
    x: np.ndarray, kernel: np.ndarray, bias: np.ndarray, padding: str, *, whole: bool
) -> np.ndarray:
    """Computes relu(x * kernel + bias).

    Args:
        x: (inputs, B, height, width).
        kernel: (9, inputs, units).
        bias: (units,).
        padding: "SAME" or "VALID".
        whole: Whether rows of zeros are used, too.

    Returns:
        (units, B, height, width), or 2 rows and columns fewer if `padding` is "VALID".
    """
    if padding == "SAME":
        x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    _, images, height, width = x.shape
    height, width = height - 2, width - 2
    used = np.ones(kernel.shape[:2], bool) if whole else kernel.any(2)  # (9, inputs)
    columns = np.empty((int(used.sum()), images, height, width), x.dtype)
    for row, (position, channel) in enumerate(np.argwhere(used)):
        top, left = divmod(int(position), 3)
        columns[row] = x[channel, :, top : top + height, left : left + width]
    y = kernel[used].T @ columns.reshape(len(columns), images * height * width)
    y += bias[:, None]
    np.fmax(y, 0, out=y)  # as TensorFlow's layers do: 0 for NaN
    return y.reshape(len(bias), images, height, width)


def _pool(x: np.ndarray) -> np.ndarray:
    """Computes 2 x 2 max pooling of (C, B, H, W); an odd last row or column is lost."""
    x = x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    rows = np.maximum(x[:, :, ::2], x[:, :, 1::2])
    return np.maximum(rows[..., ::2], rows[..., 1::2])


def logits(
    parameters: Parameters,
    images: np.ndarray,
    progress: Callable[[int], None] = lambda images: None,
) -> np.ndarray:
    """Computes the network's outputs before the softmax, in float32.

    They differ from `shears.model.forward.logits` by rounding only.

    Args:
        parameters: float32.
        images: (N, 32, 32, 3) uint8.
        progress: Called with the number of images before each block of `BLOCK`; what it
            raises ends the computation.

    Returns:
        (N, 10) float32; infinite or NaN where float32 overflows.
    """
    whole = _may_overflow(parameters)
    kernels, biases = _kernels(parameters, whole=whole)
    outputs = np.empty((len(images), CLASSES), np.float32)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        for start in range(0, len(images), BLOCK):
            progress(start)
            block = images[start : start + BLOCK].transpose(3, 0, 1, 2)
            x = block.astype(np.float32) / np.float32(255)  # (3, B, 32, 32)
            for i in range(_DENSE):
                padding = LAYERS[i].padding
                x = _convolve(x, kernels[i], biases[i], padding, whole=whole)
                if i % 2:
                    x = _pool(x)
            x = x.reshape(*x.shape[:2], 36).transpose(1, 2, 0)  # (B, 36, C)
            x = x.reshape(len(x), -1)
            for kernel, bias in zip(kernels[_DENSE:], biases[_DENSE:], strict=True):
                rows = kernel.shape[0] * kernel.shape[1]
                x = x @ kernel.reshape(rows, len(bias)) + bias
                if kernel is not kernels[-1]:
                    np.fmax(x, 0, out=x)
            outputs[start : start + BLOCK] = x
    return outputs


def predictions(outputs: np.ndarray) -> np.ndarray:
    """Returns the predicted classes: the largest logits.

    Args:
        outputs: (N, 10) float32 logits.

    Returns:
        (N,) uint8.
    """
    return outputs.argmax(1).astype(np.uint8)

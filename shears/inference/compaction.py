"""Compaction: an equivalent network without the units that pruning made useless.

A unit is a channel of a convolution or a neuron of the dense hidden layer. Zeros alone
make a dense network no faster; fewer units can.
"""

import numpy as np

from shears.inference.compact_network import CompactNetwork
from shears.model import forward
from shears.model.architecture import CLASSES, HIDDEN, INPUT_SHAPE, LAYERS
from shears.model.parameters import Parameters, flush_denormals
from shears.pruning.dead_units import remove_dead_units
from shears.runtime.backend import tf
from shears.runtime.errors import UserError

#: Of logits, absolute up to 1 and relative to the largest above; in
#: `check_equivalence`, to the largest bias, too.
TOLERANCE = 1e-5
BATCH = 500  # images at a time
_DENSE = 4  # index of the dense hidden layer


def compact(parameters: Parameters) -> CompactNetwork:
    """Leaves out all units that are constant or that no output depends on.

    What a constant adds is folded into biases (`shears.pruning.dead_units`). A unit of
    a convolution that no image reaches, but whose output differs at the borders, is
    folded where it feeds the dense layer. Before 'same' padding, a constant other than
    0 stays. Nothing is left to leave out.

    Args:
        parameters: float32, finite.

    Returns:
        A network with the same logits up to rounding (`check_equivalence`) and with at
        most as many nonzeros.

    Raises:
        UserError: A folded constant is too large for float32.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        kept = remove_dead_units(parameters)
        kept = remove_dead_units(_fold_unreached(kept))
    if not np.isfinite(kept.vector).all():
        raise UserError(
            "found weights whose constant outputs exceed the range of float32, "
            "expected a network that can be computed in float32"
        )
    inputs = np.ones(INPUT_SHAPE[-1], bool)
    kernels, biases = [], []
    for i, layer in enumerate(LAYERS):
        units = np.ones(CLASSES, bool)
        if i in HIDDEN:
            units = np.any(kept.outgoing(i), (0, 2))
        kernel = _windows(kept, i)[:, inputs][..., units]
        rows = kernel.shape[0] // int(np.prod(layer.kernel[:-2])) * kernel.shape[1]
        kernels.append(kernel.reshape(*layer.kernel[:-2], rows, kernel.shape[2]))
        biases.append(kept.biases[i][units])
        inputs = units
    return CompactNetwork(tuple(kernels), tuple(biases))


def _windows(parameters: Parameters, layer: int) -> np.ndarray:
    """Views a kernel as (positions, inputs, units), as `Parameters.outgoing` does."""
    if layer == 0:
        return parameters.kernels[0].reshape(-1, *LAYERS[0].kernel[-2:])
    return parameters.outgoing(layer - 1)


def _fold_unreached(parameters: Parameters) -> Parameters:
    """Folds what no image reaches, but is not constant, into the dense layer's bias.

    Before 'same' padding a constant stays, so a later unit may depend on nothing else:
    its output differs at the borders, but not from image to image.
    """
    folded = parameters.copy()
    fixed = parameters.copy()  # only what no image reaches
    reached = np.ones(INPUT_SHAPE[-1], bool)
    for i in range(_DENSE):
        reached = np.any(_windows(parameters, i)[:, reached], (0, 1))
        fixed.outgoing(i)[:, reached] = 0
    unreached = ~reached & folded.outgoing(_DENSE - 1).any((0, 2))
    if unreached.any():
        sums = []

        def record(x: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
            sums.append(x)
            return forward.activate(x, bias)

        image = tf.zeros((1, *INPUT_SHAPE), tf.float64)  # any other gives the same
        vector = fixed.vector.astype(np.float64)
        forward.logits(tf.constant(vector), image, activate=record)
        bias = folded.biases[_DENSE]
        bias[...] = flush_denormals(bias + sums[_DENSE].numpy()[0])
        folded.outgoing(_DENSE - 1)[:, unreached] = 0
    return folded


def logits(network: CompactNetwork, images: tf.Tensor) -> tf.Tensor:
    """Computes the network's outputs before the softmax.

    Args:
        network: The network.
        images: (B, 32, 32, 3), pixels / 255, float32 or float64.

    Returns:
        (B, 10), computed and returned in the images' dtype.
    """
    images = tf.convert_to_tensor(images)
    kernels = [tf.constant(kernel, images.dtype) for kernel in network.kernels]
    biases = [tf.constant(bias, images.dtype) for bias in network.biases]
    if network.constant:
        return tf.tile(biases[-1][None], (tf.shape(images)[0], 1))
    return forward.apply_layers(kernels, biases, images)


def check_equivalence(
    network: CompactNetwork, parameters: Parameters, images: np.ndarray
) -> float:
    """Checks that a compact network has the logits of the network it was made from.

    Both are computed in float64, where nothing but the rounding of folded biases sets
    them apart.

    Args:
        network: The compact network.
        parameters: The network it was made from.
        images: (N, 32, 32, 3), pixels / 255, any dtype.

    Returns:
        The largest difference of two logits.

    Raises:
        RuntimeError: A difference is above `TOLERANCE`, times the largest logit or
            bias where that is above 1: a fault of the compaction. A folded bias is
            rounded to float32, even if logits are small because large ones cancel.
    """
    biases = (*parameters.biases, *network.biases)
    scale = max(np.abs(bias).max(initial=1.0) for bias in biases)
    vector = tf.constant(parameters.without_denormals().vector.astype(np.float64))
    largest = 0.0
    for start in range(0, len(images), BATCH):
        batch = tf.constant(images[start : start + BATCH], tf.float64)
        expected = forward.logits(vector, batch).numpy()
        difference = np.abs(logits(network, batch).numpy() - expected).max()
        tolerance = TOLERANCE * max(scale, np.abs(expected).max())
        if not difference <= tolerance:
            raise RuntimeError(
                f"the compact network's logits differ by {difference:.2g}, expected "
                f"at most {tolerance:.2g}"
            )
        largest = max(largest, float(difference))
    return largest


def compute_logits(
    network: CompactNetwork, images: np.ndarray, dtype: type[np.floating] = np.float64
) -> np.ndarray:
    """Computes logits.

    Args:
        network: The network.
        images: (N, 32, 32, 3), pixels / 255, any dtype.
        dtype: What they are computed in: float64 or float32.

    Returns:
        (N, 10), of that dtype.
    """
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    outputs = [logits(network, tf.constant(batch, dtype)) for batch in batches]
    return np.concatenate([output.numpy() for output in outputs])

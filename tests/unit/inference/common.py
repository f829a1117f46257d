"""Sparse networks with every kind of dead unit, for the tests of inference."""

import numpy as np
from hypothesis import strategies as st

from shears.inference.compaction import CompactNetwork, compact
from shears.model.architecture import HIDDEN, LAYERS, PARAMETERS
from shears.model.parameters import Parameters

# Black, white and noise: what is left of a constant shows at the borders.
IMAGES = np.stack(
    [
        np.zeros((32, 32, 3)),
        np.ones((32, 32, 3)),
        *np.random.default_rng(0).random((2, 32, 32, 3)),
    ]
).astype(np.float32)


def make_network(seed: int) -> Parameters:
    """Draws a network with any pattern of zeros, and signals of a usual size."""
    rng = np.random.default_rng(seed)
    parameters = Parameters(rng.normal(size=PARAMETERS).astype(np.float32))
    few = rng.choice([0.1, 0.5, 0.8])  # fraction of units to do something to
    sparsest = rng.choice([0, -1, -2, -3])  # power of ten
    for kernel, bias in zip(parameters.kernels, parameters.biases, strict=True):
        density = 10 ** rng.uniform(sparsest, 0)
        kernel *= rng.random(kernel.shape) < density
        inputs = density * kernel.size / len(bias)
        kernel *= np.float32(np.sqrt(2 / max(inputs, 1)))
        falling = rng.random(len(bias)) < rng.uniform(0, few)
        kernel[..., falling] = -np.abs(kernel[..., falling])
        bias += rng.choice([-1, 0, 1])
        bias *= rng.random(bias.shape) < rng.uniform(1 - few, 1)
    for i in HIDDEN:
        units = len(parameters.biases[i])
        parameters.incoming(i)[:, rng.random(units) < rng.uniform(0, few)] = 0
        parameters.outgoing(i)[:, rng.random(units) < rng.uniform(0, few)] = 0
    if rng.random() < 0.1:
        parameters.kernels[rng.integers(6)][...] = 0
    return parameters


# Any seed gives another pattern; a smaller one would not be a simpler network.
sparse_networks = st.integers(0, 2**32 - 1).map(make_network)


def padded(network: CompactNetwork) -> Parameters:
    """The network in the fixed shapes, with zeros for the units that were left out."""
    result = Parameters(np.zeros(PARAMETERS, np.float32))
    inputs = 3
    for i, layer in enumerate(LAYERS):
        kernel, bias = network.kernels[i], network.biases[i]
        result.biases[i][: len(bias)] = bias
        before = layer.kernel[-2] // (36 if layer.name == "dense" else 1)
        windows = result.kernels[i].reshape(-1, before, layer.kernel[-1])
        windows[:, :inputs, : len(bias)] = kernel.reshape(
            len(windows), inputs, len(bias)
        )
        inputs = len(bias)
    return result


def constant_network() -> CompactNetwork:
    """A network without survivors but its last biases, which are its logits."""
    parameters = Parameters(np.zeros(PARAMETERS, np.float32))
    parameters.biases[-1][...] = np.linspace(-2, 3, 10)
    return compact(parameters)

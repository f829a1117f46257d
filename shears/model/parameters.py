"""The fixed network's parameters: one flat vector, with named views.

The vector holds kernel and bias of each layer in turn; batch norm's gammas come after
them. Other modules use the views, or `kernels_and_biases` for the same in tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from shears.model.architecture import HIDDEN, LAYERS, PARAMETERS, SHAPES, SIZES

SMALLEST = np.finfo(np.float32).tiny  # a smaller magnitude is denormal
HIDDEN_UNITS = [LAYERS[i].kernel[-1] for i in HIDDEN]
GAMMAS = sum(HIDDEN_UNITS)  # of batch norm, one for each hidden unit
Array = TypeVar("Array")  #: an array or a tensor


def flush_denormals(array: np.ndarray) -> np.ndarray:
    """Copies as float32, with 0.0 for denormals and -0.0, on which loaders differ."""
    return np.where(np.abs(array) < SMALLEST, np.float32(0), array).astype(np.float32)


def kernels_and_biases(
    arrays: list[Array],
) -> tuple[list[Array], list[Array]]:
    """Separates twelve arrays or tensors, in the vector's order: (kernels, biases)."""
    return arrays[::2], arrays[1::2]


@dataclass(frozen=True, eq=False)
class Parameters:
    """A number for each parameter of the fixed network: weights, a mask, a gradient.

    Attributes:
        vector: (PARAMETERS,), any dtype.
    """

    vector: np.ndarray

    def __post_init__(self) -> None:
        """Checks the shape.

        Raises:
            ValueError: It is not (PARAMETERS,).
        """
        if self.vector.shape != (PARAMETERS,):
            raise ValueError(
                f"vector: found shape {self.vector.shape}, expected ({PARAMETERS},)"
            )

    @classmethod
    def from_arrays(cls, arrays: Sequence[np.ndarray]) -> "Parameters":
        """Joins kernel and bias of each layer in turn; copies and keeps the dtype."""
        return cls(np.concatenate([array.ravel() for array in arrays]))

    @classmethod
    def from_layers(
        cls, kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray]
    ) -> "Parameters":
        """Joins the layers' kernels and biases, whatever their shapes; copies."""
        pairs = zip(kernels, biases, strict=True)
        return cls.from_arrays([array for pair in pairs for array in pair])

    @cached_property
    def arrays(self) -> list[np.ndarray]:
        """Views of kernel and bias of each layer in turn: twelve arrays."""
        parts = np.split(self.vector, np.cumsum(SIZES)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, SHAPES, strict=True)]

    @property
    def kernels(self) -> Sequence[np.ndarray]:
        """Views of the six kernels."""
        return kernels_and_biases(self.arrays)[0]

    @property
    def biases(self) -> Sequence[np.ndarray]:
        """Views of the six biases."""
        return kernels_and_biases(self.arrays)[1]

    def incoming(self, layer: int) -> np.ndarray:
        """Views a layer's kernel as (inputs, units)."""
        return self.kernels[layer].reshape(-1, LAYERS[layer].kernel[-1])

    def outgoing(self, layer: int) -> np.ndarray:
        """Views the kernel after a hidden layer as (positions, units, next units).

        Positions are the 3 x 3 window of a convolution, or the 6 x 6 outputs of the
        last pooling: channels come last in the dense layer's flattened input, too.
        """
        next_units = LAYERS[layer + 1].kernel[-1]
        return self.kernels[layer + 1].reshape(-1, LAYERS[layer].kernel[-1], next_units)

    def copy(self) -> "Parameters":
        """Copies the vector."""
        return Parameters(self.vector.copy())

    def masked(self, mask: "Parameters") -> "Parameters":
        """Multiplies by a mask."""
        return Parameters(self.vector * mask.vector)

    def count_zeros(self) -> int:
        """Counts the zeros, biases included."""
        return PARAMETERS - int(np.count_nonzero(self.vector))

    def without_denormals(self) -> "Parameters":
        """Copies as float32, denormals flushed (`flush_denormals`)."""
        return Parameters(flush_denormals(self.vector))


@dataclass(frozen=True, eq=False)
class BatchNormParameters:
    """The parameters while training with batch norm: the network's, then the gammas.

    Beta takes the place of each hidden layer's bias.

    Attributes:
        vector: (PARAMETERS + GAMMAS,), any dtype.
    """

    vector: np.ndarray

    def __post_init__(self) -> None:
        """Checks the shape.

        Raises:
            ValueError: It is not (PARAMETERS + GAMMAS,).
        """
        if self.vector.shape != (PARAMETERS + GAMMAS,):
            raise ValueError(
                f"vector: found shape {self.vector.shape}, expected "
                f"({PARAMETERS + GAMMAS},)"
            )

    @classmethod
    def join(
        cls, network: Parameters, gammas: Sequence[np.ndarray]
    ) -> "BatchNormParameters":
        """Joins the network's parameters (hidden biases: beta) and gammas; copies."""
        return cls(np.concatenate([network.vector, *gammas]))

    @cached_property
    def network(self) -> Parameters:
        """Views the network's parameters, with beta for the hidden biases."""
        return Parameters(self.vector[:PARAMETERS])

    @property
    def gammas(self) -> list[np.ndarray]:
        """Views the gammas of each hidden layer, (units,) each."""
        return np.split(self.vector[PARAMETERS:], np.cumsum(HIDDEN_UNITS)[:-1])


def kernel_mask(*, batch_norm: bool) -> np.ndarray:
    """Marks what belongs to a kernel, not to biases, betas or gammas: (W,) bool."""
    mask = Parameters(np.zeros(PARAMETERS, bool))
    for kernel in mask.kernels:
        kernel[...] = True
    return np.pad(mask.vector, (0, GAMMAS if batch_norm else 0))


def initial_parameters(seed: int) -> Parameters:
    """Draws Keras' default initial weights.

    Args:
        seed: Seed of the draw.

    Returns:
        float32, kernels Glorot uniform (Glorot and Bengio 2010, eq. 16), biases zero.
    """
    rng = np.random.default_rng(seed)
    kernels, biases = [], []
    for layer in LAYERS:
        receptive_field = int(np.prod(layer.kernel[:-2]))
        limit = np.sqrt(6 / (receptive_field * sum(layer.kernel[-2:])))
        kernels.append(rng.uniform(-limit, limit, layer.kernel).astype(np.float32))
        biases.append(np.zeros(layer.kernel[-1:], np.float32))
    return Parameters.from_layers(kernels, biases)

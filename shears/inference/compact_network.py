"""A network with fewer units than the fixed one, and what it costs."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shears.model.parameters import Parameters

#: How often each weight of a kernel is used for one image: its layer's output
#: positions. A product with the zeros of 'same' padding counts, too, and so do the
#: outputs that the second pooling leaves out, as they do in a dense convolution.
POSITIONS = (32 * 32, 30 * 30, 15 * 15, 13 * 13, 1, 1)
#: Of these, the ones that the second pooling uses.
USED_POSITIONS = (32 * 32, 30 * 30, 14 * 14, 12 * 12, 1, 1)


class CompactNetwork(NamedTuple):
    """The fixed network with fewer units: padding, pooling and ReLU are the same.

    Either every hidden layer has units or none has.

    Attributes:
        kernels: Six, float32, in the order of `LAYERS`. Of the convolutions:
            (3, 3, in, out). Of the dense hidden layer: (36 channels, units), the rows
            in Flatten's order: y, x, channel. Of the last layer: (units, 10).
        biases: Six, float32, (out,).
    """

    kernels: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    @classmethod
    def whole(cls, parameters: Parameters) -> "CompactNetwork":
        """Takes a network as it is, with all its units."""
        return cls(tuple(parameters.kernels), tuple(parameters.biases))

    @property
    def widths(self) -> tuple[int, ...]:
        """The numbers of units of the five hidden layers."""
        return tuple(len(bias) for bias in self.biases[:-1])

    @property
    def constant(self) -> bool:
        """Whether the logits do not depend on the image: they are the last bias."""
        return not self.widths[-1]

    @property
    def parameters(self) -> int:
        """The number of weights, biases included."""
        return sum(array.size for array in (*self.kernels, *self.biases))

    @property
    def nonzeros(self) -> int:
        """The number of weights that are not zero, biases included."""
        return int(sum(map(np.count_nonzero, (*self.kernels, *self.biases))))

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds for an image, those with weights that are zero included."""
        return count_multiply_adds([kernel.size for kernel in self.kernels])

    @property
    def multiply_adds_left(self) -> int:
        """Multiply-adds for an image with weights that are not zero."""
        return count_multiply_adds([int(np.count_nonzero(k)) for k in self.kernels])

    @property
    def multiply_adds_in_c(self) -> int:
        """Those of them that the C code does: for `USED_POSITIONS`."""
        weights = [int(np.count_nonzero(k)) for k in self.kernels]
        return count_multiply_adds(weights, USED_POSITIONS)


def count_multiply_adds(
    weights: Sequence[int], positions: Sequence[int] = POSITIONS
) -> int:
    """Counts multiply-adds for an image, given the number of weights of each kernel.

    Biases are not counted. The six ``KERNEL_SIZES`` give the whole network's 20.7
    million.
    """
    return sum(n * count for n, count in zip(positions, weights, strict=True))

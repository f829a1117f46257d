"""A round's masks: when each is made, with how many zeros, and by what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from shears.model.parameters import Parameters


class MaskUpdate(NamedTuple):
    """A mask update.

    Attributes:
        zeros: How many weights the new mask prunes.
        drop_fraction: Fraction of the kept weights that are dropped so that others
            grow.
    """

    zeros: int
    drop_fraction: float = 0.0


# (weights, a function that computes the loss's gradient, the update) -> the weights and
# the mask to continue with.
MakeMask = Callable[
    [Parameters, Callable[[], Parameters], MaskUpdate], tuple[Parameters, Parameters]
]


@dataclass(frozen=True)
class MaskPlan:
    """The masks of a round.

    Attributes:
        updates: The mask updates, by the step they come before.
        make_mask: Makes the mask of an update.
    """

    updates: Mapping[int, MaskUpdate]
    make_mask: MakeMask

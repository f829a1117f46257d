"""A round's masks: when each is made, with how many zeros, and by what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from shears.model.parameters import Parameters

Form = TypeVar("Form")
Other = TypeVar("Other")


class MaskUpdate(NamedTuple):
    """A mask update.

    Attributes:
        zeros: How many weights the new mask prunes.
        drop_fraction: Fraction of the kept weights that are dropped so that others
            grow.
    """

    zeros: int
    drop_fraction: float = 0.0


@dataclass(frozen=True)
class Snapshot(Generic[Form]):
    """The state of training that a mask is made from.

    Attributes:
        weights: float32. With dynamic masks they are latent: what is pruned has a
            value, too. Otherwise it is zero.
        mask: float32 of 0 and 1, the mask until now.
        gradient: Computes the gradient of the masked network's loss.
        second_moment: Computes Adam's second moment of that gradient, bias-corrected;
            None before the first step.
    """

    weights: Form
    mask: Form
    gradient: Callable[[], Form]
    second_moment: Callable[[], Form] | None = None

    def convert(self, function: Callable[[Form], Other]) -> "Snapshot[Other]":
        """Applies a function to everything in it."""
        moment = self.second_moment
        return Snapshot(
            function(self.weights),
            function(self.mask),
            lambda: function(self.gradient()),
            (lambda: function(moment())) if moment else None,
        )


# (the state of training, the update) -> the weights and the mask to continue with.
MakeMask = Callable[[Snapshot[Parameters], MaskUpdate], tuple[Parameters, Parameters]]


@dataclass(frozen=True)
class MaskPlan:
    """The masks of a round.

    Attributes:
        updates: The mask updates, by the step they come before.
        make_mask: Makes the mask of an update.
        dynamic: Whether what is pruned is trained on (`MaskSettings.dynamic`).
    """

    updates: Mapping[int, MaskUpdate]
    make_mask: MakeMask
    dynamic: bool = False

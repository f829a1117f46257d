"""Settings of masks that contradict each other."""

from collections.abc import Iterator
from typing import NamedTuple

from shears.pruning.masks import MaskSettings
from shears.runtime.errors import show_value


class Contradiction(NamedTuple):
    """Settings that contradict each other.

    Attributes:
        keys: Their keys, first the one that is refused.
        message: Its name, what was found and what is expected.
    """

    keys: tuple[str, ...]
    message: str


def find_contradiction(
    settings: MaskSettings, *, mask_of: str = "", optimizer: str = "adam"
) -> Contradiction | None:
    """Finds the first of the settings that contradict each other.

    Args:
        settings: Those of a method.
        mask_of: The method whose masks are used, if any.
        optimizer: That of the method's recipe.
    """
    for keys, expected in _contradictions(settings, mask_of, optimizer):
        found = show_value(getattr(settings, keys[0]))
        return Contradiction(keys, f"{keys[0]}: found {found}, expected {expected}")
    return None


def _contradictions(
    settings: MaskSettings, mask_of: str, optimizer: str
) -> Iterator[tuple[tuple[str, ...], str]]:
    """Lists keys, first the refused one, and what is expected of it."""
    for key, off in (("drop_fraction", "0"), ("dynamic", "false")):
        if getattr(settings, key) and (
            settings.start == "initial" or mask_of or settings.granularity == "unit"
        ):
            yield (
                (key, "start", "mask_of", "granularity"),
                f"{off} where start is initial, mask_of is set or granularity "
                "is unit: single weights grow, and only at later mask updates",
            )
    if settings.least_units and (
        settings.drop_fraction or settings.granularity == "unit"
    ):
        yield (
            ("least_units", "drop_fraction", "granularity"),
            "0 where drop_fraction is set or granularity is unit: these drop any unit",
        )
    if settings.dynamic and settings.drop_fraction:
        yield (
            ("drop_fraction", "dynamic"),
            "0 with dynamic masks: they decide themselves what returns",
        )
    if settings.shuffled and not mask_of:
        yield (
            ("shuffled",),
            "false without mask_of: it shuffles another method's masks",
        )
    of_gradients = settings.saliency in ("first_order", "second_moment")
    if settings.start == "initial" and of_gradients:
        yield (
            ("saliency", "start"),
            "magnitude or random where start is initial: the mask is made "
            "before there is a gradient",
        )
    if settings.saliency == "second_moment" and not mask_of:
        if optimizer != "adam":
            yield (
                ("saliency", "recipe"),
                f"another with the optimizer {optimizer}: Adam's second moment is used",
            )
        if not (settings.end_step or settings.dynamic or settings.drop_fraction):
            yield (
                ("saliency", "end_step"),
                "another where end_step is 0: the only mask is made before the first "
                "step, when Adam's second moment is 0",
            )

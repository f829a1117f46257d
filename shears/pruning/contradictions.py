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
    settings: MaskSettings, *, mask_of: str = ""
) -> Contradiction | None:
    """Finds the first of the settings that contradict each other.

    Args:
        settings: Those of a method.
        mask_of: The method whose masks are used, if any.
    """
    for keys, expected in _contradictions(settings, mask_of):
        found = show_value(getattr(settings, keys[0]))
        return Contradiction(keys, f"{keys[0]}: found {found}, expected {expected}")
    return None


def _contradictions(
    settings: MaskSettings, mask_of: str
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
    if settings.start == "initial" and settings.saliency == "first_order":
        yield (
            ("saliency", "start"),
            "magnitude or random where start is initial: the mask is made "
            "before there is a gradient",
        )

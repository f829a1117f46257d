"""Packages that only some commands need."""

import importlib.util
from collections.abc import Iterable

from shears.runtime.errors import UserError


def check_packages(names: Iterable[str], purpose: str, extra: str) -> None:
    """Checks that packages are installed, without importing them.

    Args:
        names: What is imported from them.
        purpose: What needs them, as the subject of a sentence.
        extra: The optional dependencies that have them, in ``pyproject.toml``.

    Raises:
        UserError: One is missing.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UserError(
                f"the package {name} is missing, which {purpose} needs; in a "
                f"checkout of Shears: pip install '.[{extra}]'"
            )

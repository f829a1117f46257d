"""YAML as Snakemake reads it: a check of the files, and types after ``--config``."""

import contextlib
import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from shears.runtime.errors import UserError, brief, show_value


class _Loader(yaml.SafeLoader):
    """Reads YAML and refuses duplicate keys, which PyYAML accepts."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:
        seen: set[str | None] = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in seen and name != "<<":
                raise yaml.constructor.ConstructorError(
                    problem=f"duplicate key {name!r}", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _read(text: str) -> object:
    """Reads JSON or else YAML, as Snakemake does; only JSON may be indented by tabs."""
    with contextlib.suppress(json.JSONDecodeError):
        json.loads(text)
        text = text.replace("\t", " ")  # never in a string, where JSON writes \\t
    return yaml.load(text, _Loader)


def check_yaml(path: str | Path) -> None:
    """Checks that a file is YAML or JSON with keys, before anything reads it.

    Raises:
        UserError: It is neither, has a duplicate key, or is not a mapping of keys; with
            the place and the reason.
    """
    try:
        content = _read(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; it must exist") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise UserError(
            f"{path}: line {line}, column {column}: {error.problem}: "
            "not valid YAML; correct it there or just above"
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise UserError(f"{path}: not a text file in UTF-8, expected YAML") from None
    except (ValueError, OverflowError, RecursionError) as error:  # dates, huge numbers
        raise UserError(
            f"{path}: a value in it cannot be read: {brief(error)}; correct the value"
        ) from None
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: found {show_value(content)}, expected a mapping of keys"
        )


def typed(value: object) -> object:
    """Gives strings inside a list or mapping the types that they would have in YAML.

    Snakemake leaves them as strings if ``--config`` has a list or mapping, such as
    [0,1].
    """
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    if isinstance(value, str):
        with contextlib.suppress(yaml.YAMLError, ValueError):
            scalar = yaml.safe_load(value)
            if isinstance(scalar, bool | int | float):
                return scalar
    return value

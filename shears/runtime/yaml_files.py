"""YAML as Snakemake reads it: a check of the files, and types after ``--config``."""

import contextlib
import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from shears.runtime.errors import UserError, brief, show_value

MOST_VALUES = 100_000  #: in a file; the longest sweep needs a few thousand
DEEPEST = 100  #: levels of mappings and lists; a configuration has five
LONGEST_NUMBER = 1024  #: bits of a whole number; Python cannot print much longer ones
TEMPLATE = "__use_yte__"  # a key that makes Snakemake evaluate the values (YTE)
#: Types that no key has.
NO_VALUES = {f"tag:yaml.org,2002:{kind}" for kind in ("set", "omap", "pairs", "binary")}


class _Loader(yaml.SafeLoader):
    """Reads YAML and refuses what PyYAML accepts or fails at.

    These are duplicate keys, values that their type cannot have (``!!bool x``), types
    that no key has (`NO_VALUES`), and anchors that unpack to more than `MOST_VALUES`
    values or `DEEPEST` levels, as one that contains itself does.
    """

    def get_single_data(self) -> object:
        node = self.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return self.construct_document(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            if node.tag in NO_VALUES:
                self.construct_undefined(node)
            value = super().construct_object(node, deep)
            if isinstance(value, int) and value.bit_length() > LONGEST_NUMBER:
                raise ValueError(f"more than {LONGEST_NUMBER} bits")
            return value
        except (yaml.YAMLError, RecursionError):
            raise
        except Exception as error:  # PyYAML lets any error of Python's pass
            kind = node.tag.rpartition(":")[2]
            plain = isinstance(error, ValueError | OverflowError)
            reason = f": {brief(error, 60)}" if plain else ""
            raise yaml.constructor.ConstructorError(
                problem=f"{show_value(node.value)} cannot be read as {kind}{reason}",
                problem_mark=node.start_mark,
            ) from None

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, Any]:
        seen: set[str | None] = set()
        pairs = node.value if node.id == "mapping" else ()  # `!!map x` has none
        for key, _ in pairs:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in seen and name not in (None, "<<"):
                raise yaml.constructor.ConstructorError(
                    problem=f"duplicate key {name!r}", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _check_size(root: yaml.Node) -> None:
    """Checks how much a document unpacks to, without unpacking it."""
    left, open_nodes = MOST_VALUES, [(root, 1)]
    while open_nodes:
        node, level = open_nodes.pop()
        if isinstance(node, yaml.ScalarNode):
            continue
        inner = node.value
        if isinstance(node, yaml.MappingNode):
            inner = [part for pair in node.value for part in pair]
        left -= len(inner)
        problem = f"more than {MOST_VALUES:,} values" if left < 0 else ""
        if level > DEEPEST:
            problem = f"more than {DEEPEST} levels of lists and mappings"
        if problem:
            raise yaml.constructor.ConstructorError(
                problem=f"found {problem}", problem_mark=node.start_mark
            )
        open_nodes += [(part, level + 1) for part in inner]


def _read(text: str) -> object:
    """Reads JSON or else YAML, as Snakemake does; only JSON may be indented by tabs."""
    with contextlib.suppress(json.JSONDecodeError):
        json.loads(text)
        text = text.replace("\t", " ")  # never in a string, where JSON writes \\t
    return yaml.load(text, _Loader)


def check_yaml(path: str | Path) -> None:
    """Checks that a file is YAML or JSON with keys, before anything reads it.

    Raises:
        UserError: It is neither, has a duplicate key or a value that its type cannot
            have, is too large, is not a mapping of keys, or asks Snakemake to run code
            in it; with the place and the reason.
    """
    try:
        content = _read(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a YAML file") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        # A constructor's problem is with a value of valid YAML.
        valid = isinstance(error, yaml.constructor.ConstructorError)
        raise UserError(
            f"{path}: line {line}, column {column}: {brief(error.problem)}"
            f"{'' if valid else ': not valid YAML'}; correct it there or just above"
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise UserError(f"{path}: not a text file in UTF-8, expected YAML") from None
    except (ValueError, RecursionError) as error:  # JSON's huge numbers
        raise UserError(
            f"{path}: a value in it cannot be read: {brief(error)}; correct the value"
        ) from None
    if not isinstance(content, dict):
        raise UserError(
            f"{path}: found {show_value(content)}, expected a mapping of keys"
        )
    if TEMPLATE in content:
        raise UserError(
            f"{path}: found {TEMPLATE}, which makes Snakemake run code in the file, "
            "expected only keys of the configuration"
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
        with contextlib.suppress(yaml.YAMLError, RecursionError):
            scalar = yaml.load(value, _Loader)
            if isinstance(scalar, bool | int | float):
                return scalar
    return value

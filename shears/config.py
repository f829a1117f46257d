"""Checking the configuration before anything runs, with errors a person can read."""

import contextlib
import difflib
import json
import math
import re
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import jsonschema
import yaml

from shears.runtime.errors import UserError, brief

TRAINING_IMAGES = {"cifar10": 50_000, "digits": 1_500}  # validation among them
LARGEST = 100_000  # values in a configuration
KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "object": "a mapping of keys",
    "array": "a list",
}


class _Loader(yaml.SafeLoader):
    """Reads YAML, and refuses what it would otherwise let pass: a key given twice."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name in seen and name != "<<":
                raise yaml.constructor.ConstructorError(
                    problem=f"key {name!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(name)
        return super().construct_mapping(node, deep)


def _size(value: object, known: dict[int, float]) -> float:
    """Counts the values in a value, aliases written out; infinite if it holds itself.

    Args:
        value: As read from YAML.
        known: Sizes by id, filled in.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in known:
        known[id(value)] = math.inf  # until it is known: met again inside, it is
        items = value.values() if isinstance(value, dict) else value
        known[id(value)] = 1 + sum(_size(item, known) for item in items)
    return known[id(value)]


def _read(text: str) -> object:
    """Reads JSON or else YAML, as Snakemake does: only JSON is indented with tabs."""
    with contextlib.suppress(json.JSONDecodeError):
        json.loads(text)
        text = text.replace("\t", " ")  # none is in a string: there it is written \\t
    return yaml.load(text, _Loader)


def check_yaml(path: str | Path) -> None:
    """Checks that a file is YAML or JSON with keys, before anything reads it.

    Raises:
        UserError: It is neither, has a key twice, is far too large, or is not a
            mapping of keys: where, and why.
    """
    try:
        content = _read(Path(path).read_text(encoding="utf-8"))
        size = _size(content, {})
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; it must be there") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise UserError(
            f"{path}: line {mark.line + 1}, column {mark.column + 1}: {error.problem}: "
            "not valid YAML; mend it there or just above"
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise UserError(f"{path}: not a text file in UTF-8, expected YAML") from None
    except (ValueError, OverflowError, RecursionError) as error:  # dates, huge numbers
        raise UserError(
            f"{path}: a value in it cannot be read: {brief(error)}; mend it"
        ) from None
    if size > LARGEST:
        raise UserError(
            f"{path}: has more than {LARGEST:,} values with its aliases written out, "
            "expected fewer"
        )
    if not isinstance(content, dict):
        raise UserError(f"{path}: found {_show(content)}, expected a mapping of keys")


def typed(value: object) -> object:
    """Gives the texts inside a list or mapping the types that they would have in YAML.

    Snakemake leaves them texts where `--config` has a list or a mapping, [0,1] say.
    """
    if isinstance(value, dict):
        return {key: typed(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [typed(inner) for inner in value]
    if isinstance(value, str):
        with contextlib.suppress(yaml.YAMLError, ValueError):
            found = yaml.safe_load(value)
            if isinstance(found, bool | int | float):
                return found
    return value


def _show(value: object) -> str:
    """Shows a value about as it would stand in YAML, shortened."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = reprlib.repr(value)  # looks at a few items only, however large the value is
    return text if len(text) <= 60 else f"{text[:57]}..."


def _where(path: Iterable) -> str:
    """Writes a path into the configuration as `key: key[2]: key`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f": {part}" if text else part
    return text or "configuration"


def _explain(error: jsonschema.ValidationError) -> str:
    """Says a schema violation in one line: key, what was found, what is expected."""
    where, found, rule = _where(error.absolute_path), error.instance, error.validator
    meaning = str(error.schema.get("description", "")).split(".")[0].strip()
    if rule == "additionalProperties":
        known = list(error.schema.get("properties", {}))
        unknown = next(str(key) for key in found if key not in known)
        close = difflib.get_close_matches(unknown, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        return f"{where}: unknown key {unknown!r}; {hint}"
    if rule == "required":
        missing = next(key for key in error.validator_value if key not in found)
        return f"{where}: key {missing!r} is missing"
    if rule == "type":
        expected = KINDS[error.validator_value]
        hint = ""
        if isinstance(found, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", found, re.I):
            hint = f" (YAML needs a dot: {found.lower().replace('e', '.0e')})"
        if expected == KINDS["boolean"] and isinstance(found, str):
            hint = " (behind --config: True or False)"
    elif rule == "enum":
        expected, hint = f"one of {', '.join(map(str, error.validator_value))}", ""
    else:
        words = {
            "minimum": "at least {}",
            "maximum": "at most {}",
            "exclusiveMinimum": "more than {}",
            "exclusiveMaximum": "less than {}",
            "minItems": "at least {} items",
            "uniqueItems": "each item once",
            "maxItems": "at most {} items",
            "minProperties": "at least {} entries",
            "pattern": "text that matches {}",
        }
        expected, hint = words[rule].format(error.validator_value), ""
    meaning = f" - {meaning}" if meaning else ""
    return f"{where}: found {_show(found)}, expected {expected}{hint}{meaning}"


def _not_finite(value: object, path: tuple = ()) -> Iterable[str]:
    """Finds NaN and infinity, which every comparison of a schema lets pass."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{_where(path)}: found {value}, expected a finite number"
    items = value.items() if isinstance(value, Mapping) else ()
    items = enumerate(value) if isinstance(value, list) else items
    for key, item in items:
        yield from _not_finite(item, (*path, key))


def check(config: Mapping, schema: Mapping) -> None:
    """Checks a configuration against the schema's types and ranges.

    Args:
        config: As read from YAML.
        schema: JSON Schema (draft 2020-12).

    Raises:
        UserError: The first thing wrong: the key, what was found, what was expected.
    """
    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(validator.iter_errors(config), key=lambda e: list(map(str, e.path)))
    # An unknown key says more than a missing one: it is likely the same one, misspelt.
    errors.sort(key=lambda e: e.validator != "additionalProperties")
    for text in [*map(_explain, errors), *_not_finite(config)]:
        raise UserError(text)

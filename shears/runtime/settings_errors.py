"""Explains in one line why settings were refused: the key, what was found, expected."""

import difflib
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError

from shears.runtime.errors import UserError, brief, show_value

EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "string_unicode": "text in UTF-8",
    "bool_type": "true or false",
    "model_type": "a mapping of keys",
    "dict_type": "a mapping of keys",
    "tuple_type": "a list",
    "finite_number": "a finite number",
    "not_unique": "each item once",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "less_than": "less than {lt}",
    "string_pattern_mismatch": "text that matches {pattern}",
    "literal_error": "one of {expected}",
    "too_short": "at least {min_length} {items}",
    "too_long": "at most {max_length} {items}",
}


def explain(error: ValidationError, model: type[BaseModel]) -> UserError:
    """Returns the error for the first problem of settings.

    Args:
        error: All problems.
        model: The class of the settings; its descriptions say what a key means.
    """
    return UserError(_describe(min(error.errors(), key=_urgency), model))


def _urgency(problem: Mapping[str, Any]) -> tuple[bool, list[str]]:
    """Orders problems: unknown keys first, then by path."""
    # An unknown key says more than a missing one: it is probably that key, misspelt. An
    # item comes before its list, which pydantic calls too short without the item.
    path = [*map(str, problem["loc"]), "~"]
    return problem["type"] != "unknown_key", path


def _describe(problem: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Describes a problem in one line: the key, what was found, what was expected."""
    kind, path, value = problem["type"], problem["loc"], problem["input"]
    context = dict(problem.get("ctx", {}))
    if kind == "unknown_key":
        key, known = context["key"], context["known"]
        close = difflib.get_close_matches(str(key), known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        return f"{_where(path)}: unknown key {show_value(key)}; {hint}"
    if kind == "path":
        return f"{_where(path)}: {context['reason']}"
    if kind == "missing":
        return f"{_where(path[:-1])}: key {path[-1]!r} is missing"
    if kind == "literal_error":
        context["expected"] = context["expected"].replace("'", "").replace(" or ", ", ")
    count = context.get("min_length", context.get("max_length"))
    context["items"] = "item" if count == 1 else "items"
    for key, limit in context.items():
        if isinstance(limit, float) and limit.is_integer():
            context[key] = int(limit)
    expected = EXPECTED[kind].format(**context)
    hint = ""
    if isinstance(value, str) and kind in ("int_type", "float_type"):
        if re.fullmatch(r"[-+]?\d+e[-+]?\d+", value, re.I):
            hint = f" (YAML needs a dot: {value.lower().replace('e', '.0e')})"
    if isinstance(value, str) and kind == "bool_type":
        hint = " (after --config: True or False)"
    meaning = _description(path, model)
    meaning = f" - {meaning}" if meaning else ""
    return (
        f"{_where(path)}: found {show_value(value)}, expected {expected}{hint}{meaning}"
    )


def _description(path: Iterable[str | int], model: type[BaseModel]) -> str:
    """Returns the first sentence of the description of the key at a path."""
    text = ""
    kind: Any = model
    for part in path:
        if part == "[key]":  # the problem is the key itself, not its value
            continue
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields[str(part)]
            text, kind = field.description or "", field.annotation
        else:  # an item of a list, or a value of a mapping
            kind = [a for a in typing.get_args(kind) if a is not ...][-1]
        while typing.get_origin(kind) is Annotated:
            kind = typing.get_args(kind)[0]
    return text.split(".")[0]


def _where(path: Iterable[str | int]) -> str:
    """Formats a path into the configuration as ``key: key[2]: key``."""
    path, text = list(path), ""
    if path[-1:] == ["[key]"]:  # the problem is the key itself, not its value
        path = path[:-2]
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f": {brief(part)}" if text else brief(part)
    return text or "configuration"

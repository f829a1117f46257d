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

from shears.architecture import KERNELS, PARAMETERS, SIZES
from shears.errors import UserError, brief

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


RESERVED = {"teacher", "submission", "optimizers"}  # folders of results


def baselines(config: Mapping) -> list[str]:
    """Lists the dense networks that are trained: all there are if none is pruned."""
    pruned = {method["baseline"] for method in methods(config).values()}
    return sorted(pruned) or list(config["baselines"])


def candidates(config: Mapping) -> list[str]:
    """Lists the candidates, which are folders of results: baselines first."""
    seeds = config["seeds"]
    return [f"{name}/seed_{seed}" for name in baselines(config) for seed in seeds] + [
        f"{name}/seed_{seed}/round_{i + 1}"
        for name, method in methods(config).items()
        for seed in seeds
        for i in range(len(method["rounds"]))
    ]


def methods(config: Mapping) -> dict[str, dict]:
    """Lays out the methods that are run, and those whose masks they take.

    Args:
        config: A configuration that `check` accepts, with every key.

    Returns:
        By name all settings of each: what `pruning` says, changed by the method, and
        "method", its name under methods. With `with_recipes` there is one for each
        recipe ("lamp-long"). A method comes behind the one whose masks it takes.

    Raises:
        UserError: An unknown method, or masks taken in a circle.
    """
    found: dict[str, dict] = {}

    def add(name: str, where: str, path: tuple[str, ...], recipe: str | None) -> None:
        if name not in config["methods"]:
            raise UserError(
                f"{where}: found {name!r}, expected one of the methods: "
                f"{', '.join(sorted(config['methods']))}"
            )
        if name in path:
            raise UserError(
                f"methods: {name}: mask_of: found a circle ({' -> '.join(path)} -> "
                f"{name}), expected a method with masks of its own at the end"
            )
        method = {**config["pruning"], **config["methods"][name], "method": name}
        behind = f"-{recipe}" if recipe else ""
        if recipe:
            method["recipe"] = recipe
        if method["mask_of"]:
            where = f"methods: {name}: mask_of"
            add(method["mask_of"], where, (*path, name), recipe)
            method["mask_of"] += behind
        found.setdefault(name + behind, method)

    for i, name in enumerate(config["run"]):
        for recipe in config["with_recipes"] or [None]:
            add(name, f"run[{i}]", (), recipe)
    return found


def _check_recipe(config: Mapping, name: str, where: str, epochs: int | None) -> None:
    """Checks a recipe where it is used."""
    if name not in config["recipes"]:
        raise UserError(
            f"{where}: recipe: found {name!r}, expected one of the recipes: "
            f"{', '.join(sorted(config['recipes']))}"
        )
    recipe = config["recipes"][name]
    epochs = epochs or recipe["epochs"]
    if recipe["warmup_epochs"] >= epochs:
        raise UserError(
            f"recipes: {name}: warmup_epochs: found {recipe['warmup_epochs']}, "
            f"expected less than the {epochs} epochs of {where}"
        )
    if recipe["batch_norm"] and recipe["batch_size"] < 2:
        raise UserError(
            f"recipes: {name}: batch_size: found {recipe['batch_size']}, expected at "
            "least 2 with batch_norm: one image has no variance"
        )
    if recipe["learning_rate"] * recipe["weight_decay"] >= 1:
        raise UserError(
            f"recipes: {name}: weight_decay: found {recipe['weight_decay']}, "
            f"expected less than {1 / recipe['learning_rate']:g}, 1 / learning_rate"
        )


def _check_rounds(method: Mapping, where: str) -> None:
    """Checks that sparsities rise."""
    before = 0.0
    for i, entry in enumerate(method["rounds"]):
        if entry["sparsity"] <= before:
            raise UserError(
                f"{where}: rounds[{i}]: sparsity: found {entry['sparsity']}, expected "
                f"more than {before}, the round's before it: sparsities must rise"
            )
        before = entry["sparsity"]


def _check_floor(method: Mapping, where: str) -> None:
    """Checks that the floor leaves as many zeros as the last round asks for."""
    if not method["rounds"] or not method["floor"]:
        return
    least = sum(math.ceil(method["floor"] * SIZES[i]) for i in KERNELS)
    least += PARAMETERS - sum(SIZES[i] for i in KERNELS)  # biases
    sparsity = method["rounds"][-1]["sparsity"]
    if least > (1 - sparsity) * PARAMETERS:
        raise UserError(
            f"{where}: floor: found {method['floor']}, which keeps {least:,} weights, "
            f"expected at most the {(1 - sparsity) * PARAMETERS:,.0f} that a sparsity "
            f"of {sparsity} leaves"
        )


def check_meaning(config: Mapping) -> None:
    """Checks what a schema cannot say, once defaults are filled in.

    Args:
        config: A configuration that `check` accepts, with every key.

    Raises:
        UserError: A name that is not defined or taken, settings that contradict each
            other, or sparsities that do not rise.
    """
    for kind in ("baselines", "methods"):
        others = RESERVED | (set(config["baselines"]) if kind == "methods" else set())
        for name in config[kind]:
            if name in others:
                raise UserError(
                    f"{kind}: found the name {name!r}, expected another: the folder "
                    f"results/{name} holds something else"
                )
    count, total = (
        config["data"]["validation_images"],
        TRAINING_IMAGES[config["data"]["name"]],
    )
    if count > total - 10:
        raise UserError(
            f"data: validation_images: found {count:,}, expected at most "
            f"{total - 10:,}: the data set has {total:,} to train with"
        )
    for name, baseline in config["baselines"].items():
        _check_recipe(config, baseline["recipe"], f"baselines: {name}", None)
    training = config["data"]["training_images"]
    if training and not 10 <= training <= total - count - 10:
        raise UserError(
            f"data: training_images: found {training:,}, expected 10 to "
            f"{total - count - 10:,}, or 0 for all {total - count:,} that "
            "validation_images leaves"
        )
    _check_rounds(config["pruning"], "pruning")
    chosen = methods(config)
    for method in chosen.values():
        name = method["method"]
        own = config["methods"][name]

        def where(*keys: str, name: str = name, own: Mapping = own) -> str:
            if config["with_recipes"] and "recipe" in keys:
                return "with_recipes"
            return f"methods: {name}" if own.keys() & set(keys) else "pruning"

        _check_rounds(method, where("rounds"))
        if method["baseline"] not in config["baselines"]:
            raise UserError(
                f"{where('baseline')}: baseline: found {method['baseline']!r}, "
                f"expected one of the baselines: "
                f"{', '.join(sorted(config['baselines']))}"
            )
        for i, entry in enumerate(method["rounds"]):
            place = f"{where('rounds')}: rounds[{i}]"
            if method["recipe"] not in config["recipes"]:
                place = where("recipe")
            _check_recipe(config, method["recipe"], place, entry["epochs"])
        alone = method["start"] == "initial" or method["mask_of"]
        if method["regrowth"] and alone:
            raise UserError(
                f"{where('regrowth', 'start', 'mask_of')}: regrowth: found "
                f"{method['regrowth']}, expected 0 where start is initial or mask_of "
                "is set: there is one mask, before the first step"
            )
        if method["shuffled"] and not method["mask_of"]:
            raise UserError(
                f"{where('shuffled')}: shuffled: found true, expected false without "
                "mask_of: it draws another method's masks anew"
            )
        _check_floor(method, where("floor", "rounds"))
        if method["start"] == "initial" and method["saliency"] == "first_order":
            raise UserError(
                f"{where('start', 'saliency')}: saliency: found 'first_order', "
                "expected magnitude or random where start is initial: the mask is made "
                "before there is a gradient"
            )
        if method["mask_of"]:
            wanted = [entry["sparsity"] for entry in method["rounds"]]
            there = [entry["sparsity"] for entry in chosen[method["mask_of"]]["rounds"]]
            if wanted != there:
                raise UserError(
                    f"{where('rounds')}: rounds: found sparsities {_show(wanted)}, "
                    f"expected those of {method['mask_of']}, whose masks are taken: "
                    f"{_show(there)}"
                )
    students = [config["baselines"][name] for name in baselines(config)]
    if "strong" in {student["teacher"] for student in [*students, *chosen.values()]}:
        _check_recipe(config, config["teacher"]["recipe"], "teacher", None)
    low, high = (config["optimizers"][key] for key in ("lowest_rate", "highest_rate"))
    if low >= high:
        raise UserError(
            f"optimizers: highest_rate: found {high:g}, expected more than {low:g}, "
            "lowest_rate"
        )

"""What a configuration asks for: methods, candidates and their settings."""

import math
from collections.abc import Mapping

from shears.config import TRAINING_IMAGES, _show
from shears.model.architecture import KERNELS, PARAMETERS, SIZES
from shears.runtime.errors import UserError

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

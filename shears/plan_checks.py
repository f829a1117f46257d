"""Checks of a configuration: names that must exist, settings that must fit together."""

from collections.abc import Mapping, Sequence

from shears.config import (
    TRAINING_IMAGES,
    Configuration,
    MethodSettings,
    RoundSettings,
)
from shears.methods import Method
from shears.model.architecture import KERNEL_SIZES, PARAMETERS
from shears.pruning.contradictions import find_contradiction
from shears.pruning.masks import floor_counts
from shears.runtime.errors import UserError, brief, show_value, unknown_name
from shears.training.recipe import Recipe

RESERVED = {"teacher", "submission", "optimizers", "figures", "refit"}  # of results


def check_sections(config: Configuration) -> None:
    """Checks what does not depend on the methods that are run.

    Raises:
        UserError: A name is already taken, a number does not fit another, or sparsities
            do not rise.
    """
    _check_names(config)
    _check_data(config)
    for name in config.baselines:
        _check_baseline(config, name)
    _check_rounds(config.pruning.rounds, "pruning")
    low, high = config.optimizers.lowest_rate, config.optimizers.highest_rate
    if low >= high:
        raise UserError(
            f"optimizers: highest_rate: found {high:g}, expected more than {low:g}, "
            "lowest_rate"
        )


def check_methods(config: Configuration, methods: Mapping[str, Method]) -> None:
    """Checks the methods that are run (`find_methods`).

    Raises:
        UserError: A name is not defined, or settings contradict each other.
    """
    for method in methods.values():
        _check_method(config, methods, method)


def _check_names(config: Configuration) -> None:
    """Checks that no baseline or method has the name of another results folder."""
    for kind, names, taken in (
        ("baselines", config.baselines, RESERVED),
        ("methods", config.methods, RESERVED | set(config.baselines)),
    ):
        for name in names:
            if name in taken:
                raise UserError(
                    f"{kind}: found the name {name!r}, expected another: the folder "
                    f"results/{name} holds something else"
                )


def _check_data(config: Configuration) -> None:
    """Checks that the data set has enough images."""
    data = config.data
    total, validation = TRAINING_IMAGES[data.name], data.validation_images
    if validation > total - 10:
        raise UserError(
            f"data: validation_images: found {validation:,}, expected at most "
            f"{total - 10:,}: the data set has {total:,} to train on"
        )
    most = total - validation - 10
    if data.training_images and not 10 <= data.training_images <= most:
        raise UserError(
            f"data: training_images: found {data.training_images:,}, expected 10 to "
            f"{most:,}, or 0 for all {total - validation:,} that "
            "validation_images leaves"
        )


def find_recipe(config: Configuration, name: str, where: str) -> Recipe:
    """Finds a recipe by its name.

    Raises:
        UserError: There is none by that name; `where` names the place that wants it.
    """
    if name not in config.recipes:
        raise unknown_name(f"{where}: recipe", name, "recipes", config.recipes)
    return config.recipes[name]


def check_recipe(
    config: Configuration, name: str, where: str, epochs: int | None
) -> None:
    """Checks a recipe where it is used.

    Args:
        config: The configuration.
        name: The recipe's name.
        where: The place that uses it.
        epochs: Epochs there; None for the recipe's own.

    Raises:
        UserError: There is none by that name, or it cannot work.
    """
    recipe = find_recipe(config, name, where)
    epochs = epochs or recipe.epochs
    key = f"recipes: {brief(name)}"
    if recipe.warmup_epochs >= epochs:
        raise UserError(
            f"{key}: warmup_epochs: found {recipe.warmup_epochs:g}, "
            f"expected less than the {epochs} epochs of {where}"
        )
    if recipe.views > config.views.count:
        raise UserError(
            f"{key}: views: found {recipe.views}, expected at most "
            f"{config.views.count}, views: count, or 0 for all"
        )
    if recipe.batch_norm and recipe.batch_size < 2:
        raise UserError(
            f"{key}: batch_size: found {recipe.batch_size}, expected at "
            "least 2 with batch_norm: one image has no variance"
        )
    if recipe.lookahead and recipe.ema_decay:
        raise UserError(
            f"{key}: ema_decay: found {recipe.ema_decay:g}, expected 0 with lookahead, "
            "which has a moving average of its own"
        )
    if recipe.learning_rate * recipe.weight_decay >= 1:
        raise UserError(
            f"{key}: weight_decay: found {recipe.weight_decay:g}, "
            f"expected less than {1 / recipe.learning_rate:g}, 1 / learning_rate"
        )


def _check_baseline(config: Configuration, name: str) -> None:
    """Checks that a baseline is either trained or imported."""
    baseline = config.baselines[name]
    if not baseline.weights:
        check_recipe(config, baseline.recipe, f"baselines: {name}", None)
        return
    for key in sorted({"recipe", "teacher"} & baseline.model_fields_set):
        raise UserError(
            f"baselines: {name}: {key}: found "
            f"{show_value(getattr(baseline, key))}, expected no {key} beside weights: "
            "an imported network is not trained; give it a name of its own"
        )


def _check_rounds(rounds: Sequence[RoundSettings], where: str) -> None:
    """Checks that sparsities rise."""
    before = 0.0
    for i, entry in enumerate(rounds):
        if entry.sparsity <= before:
            raise UserError(
                f"{where}: rounds[{i}]: sparsity: found {entry.sparsity}, expected "
                f"more than {before}, the previous round's: sparsities must rise"
            )
        before = entry.sparsity


def _check_floor(settings: MethodSettings, where: str) -> None:
    """Checks that the floor leaves room for the zeros of the last round."""
    if not settings.rounds or not settings.floor:
        return
    biases = PARAMETERS - sum(KERNEL_SIZES)
    least = sum(floor_counts(settings.floor)) + biases
    sparsity = settings.rounds[-1].sparsity
    if least > (1 - sparsity) * PARAMETERS:
        raise UserError(
            f"{where}: floor: found {settings.floor:g}, which keeps {least:,} weights, "
            f"expected at most the {(1 - sparsity) * PARAMETERS:,.0f} that a sparsity "
            f"of {sparsity} leaves"
        )


def _check_method(
    config: Configuration, methods: Mapping[str, Method], method: Method
) -> None:
    """Checks a method that is run."""
    settings = method.settings
    own_keys = config.methods[method.key].model_fields_set

    def where(*keys: str) -> str:
        """Returns the part of the configuration that these keys come from."""
        if config.with_recipes and "recipe" in keys:
            return "with_recipes"
        return f"methods: {method.key}" if own_keys & set(keys) else "pruning"

    _check_rounds(settings.rounds, where("rounds"))
    if settings.baseline not in config.baselines:
        key = f"{where('baseline')}: baseline"
        raise unknown_name(key, settings.baseline, "baselines", config.baselines)
    if settings.start == "initial" and config.baselines[settings.baseline].weights:
        raise UserError(
            f"{where('start', 'baseline')}: start: found 'initial', expected trained "
            f"with the baseline {settings.baseline}: it is imported, so its initial "
            "weights are unknown"
        )
    for i, entry in enumerate(settings.rounds):
        place = f"{where('rounds')}: rounds[{i}]"
        if settings.recipe not in config.recipes:
            place = where("recipe")
        check_recipe(config, settings.recipe, place, entry.epochs)
    recipe = config.recipes.get(settings.recipe)  # checked above if there are rounds
    problem = find_contradiction(
        settings,
        mask_of=settings.mask_of,
        optimizer=recipe.optimizer if recipe else "adam",
    )
    if problem:
        raise UserError(f"{where(*problem.keys)}: {problem.message}")
    _check_floor(settings, where("floor", "rounds"))
    if settings.mask_of:
        source = methods[settings.mask_of].settings
        own, theirs = (
            [entry.sparsity for entry in rounds]
            for rounds in (settings.rounds, source.rounds)
        )
        if own != theirs:
            raise UserError(
                f"{where('rounds')}: rounds: found sparsities {show_value(own)}, "
                f"expected those of {settings.mask_of}, whose masks are used: "
                f"{show_value(theirs)}"
            )

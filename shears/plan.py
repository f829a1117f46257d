"""The plan: which baselines, methods and candidates a configuration asks for.

A candidate is a folder of results: "dense/seed_0" (a baseline, round 0 of the methods
that prune it) or "lamp/seed_0/round_1".
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shears.config import (
    TRAINING_IMAGES,
    Configuration,
    MethodSettings,
    RoundSettings,
)
from shears.model.architecture import KERNEL_SIZES, PARAMETERS
from shears.pruning.contradictions import find_contradiction
from shears.pruning.masks import MaskSettings, floor_counts, zeros_for
from shears.pruning.rounds import RoundSpec
from shears.runtime.errors import UserError, brief, show_value, unknown_name
from shears.runtime.paths import check_file
from shears.training.recipe import Recipe

RESERVED = {"teacher", "submission", "optimizers", "figures"}  # folders of results
LONGEST_CHAIN = 100  #: methods, each with the masks of the next


@dataclass(frozen=True)
class Method:
    """A method that is run.

    Attributes:
        key: Its name under methods.
        settings: All of its settings: those of ``pruning``, overridden by the method's.
    """

    key: str
    settings: MethodSettings


@dataclass(frozen=True)
class Plan:
    """What a configuration asks for.

    Attributes:
        config: The configuration.
        methods: By the name of the folder: those that are run, and before them those
            whose masks they use. With ``with_recipes`` there is one per recipe
            ("lamp-long").
    """

    config: Configuration
    methods: Mapping[str, Method]

    @cached_property
    def baselines(self) -> list[str]:
        """The networks that are needed: all of them if none is pruned."""
        pruned = {method.settings.baseline for method in self.methods.values()}
        return sorted(pruned) or list(self.config.baselines)

    @cached_property
    def imported(self) -> dict[str, Path]:
        """The files of the baselines that are imported, not trained, by name."""
        return {
            name: Path(os.path.normpath(weights))
            for name in self.baselines
            if (weights := self.config.baselines[name].weights)
        }

    @cached_property
    def candidates(self) -> list[str]:
        """The candidates, baselines first."""
        seeds = self.config.seeds
        dense = [f"{name}/seed_{seed}" for name in self.baselines for seed in seeds]
        return dense + [
            f"{name}/seed_{seed}/round_{i + 1}"
            for name, method in self.methods.items()
            for seed in seeds
            for i in range(len(method.settings.rounds))
        ]

    @property
    def training_images(self) -> int:
        """How many images networks are trained on."""
        data = self.config.data
        left = TRAINING_IMAGES[data.name] - data.validation_images
        return data.training_images or left

    def baseline_of(self, candidate: str) -> str:
        """The baseline of a method and a seed ("lamp/seed_0")."""
        name, seed = candidate.split("/")
        return f"{self.methods[name].settings.baseline}/{seed}"

    def baseline_recipe(self, baseline: str) -> Recipe:
        """The recipe of a baseline."""
        return self.config.recipes[self.config.baselines[baseline].recipe]

    @property
    def notebook(self) -> Path | None:
        """The course's notebook that is filled, if there is one."""
        path = self.config.notebook
        return Path(os.path.normpath(path)) if path else None

    def check_users_files(self) -> None:
        """Checks that the user's own files are there: imported networks, a notebook.

        Raises:
            UserError: One is missing.
        """
        if self.notebook:
            check_file("notebook", self.notebook, "a notebook (.ipynb)")
        for name, path in self.imported.items():
            key = f"baselines: {name}: weights"
            check_file(key, path, "a weights file (.h5 or .keras)")

    def check_imported_zeros(self, baseline: str, zeros: int) -> None:
        """Checks that the first round of every method prunes an imported network.

        Args:
            baseline: Its name under baselines.
            zeros: How many of its weights are zero.

        Raises:
            UserError: A first round has no more zeros.
        """
        for name, method in self.methods.items():
            settings = method.settings
            if settings.baseline != baseline or settings.mask_of:
                continue
            for first in settings.rounds[:1]:
                if zeros >= zeros_for(first.sparsity):
                    raise UserError(
                        f"baselines: {baseline}: weights: {self.imported[baseline]}: "
                        f"found a sparsity of {zeros / PARAMETERS:.4f}, expected less "
                        f"than {first.sparsity:g}, which the first round of {name} has"
                    )

    def teacher_recipe(self) -> Recipe:
        """The recipe of the teacher.

        Raises:
            UserError: There is none by that name.
        """
        return _find_recipe(self.config, self.config.teacher.recipe, "teacher")

    def round_recipe(self, method: str, number: int) -> Recipe:
        """The recipe of a method's round, with the round's epochs."""
        settings = self.methods[method].settings
        epochs = settings.rounds[number - 1].epochs
        return self.config.recipes[settings.recipe].model_copy(
            update={"epochs": epochs}
        )

    def round_spec(self, method: str, seed: int, number: int) -> RoundSpec:
        """A method's round: its masks, sparsity and seeds."""
        settings = self.methods[method].settings
        masks = {key: getattr(settings, key) for key in MaskSettings.model_fields}
        return RoundSpec(
            **masks,
            sparsity=settings.rounds[number - 1].sparsity,
            # Each round sees the images in another order.
            seed=seed * 1000 + number,
            initial_seed=seed,
        )


def plan(config: Configuration) -> Plan:
    """Plans what a configuration asks for.

    Raises:
        UserError: A name is not defined or already taken, settings contradict each
            other, sparsities do not rise, or methods use each other's masks in a cycle.
    """
    _check_names(config)
    _check_data(config)
    for name in config.baselines:
        _check_baseline(config, name)
    _check_rounds(config.pruning.rounds, "pruning")
    planned = Plan(config, _find_methods(config))
    for method in planned.methods.values():
        _check_method(planned, method)
    teachers: set[str] = {config.baselines[name].teacher for name in planned.baselines}
    teachers |= {method.settings.teacher for method in planned.methods.values()}
    if "strong" in teachers:
        _check_recipe(config, config.teacher.recipe, "teacher", None)
    low, high = config.optimizers.lowest_rate, config.optimizers.highest_rate
    if low >= high:
        raise UserError(
            f"optimizers: highest_rate: found {high:g}, expected more than {low:g}, "
            "lowest_rate"
        )
    return planned


def _find_methods(config: Configuration) -> dict[str, Method]:
    """Lists the methods that are run, each after the one whose masks it uses."""
    methods: dict[str, Method] = {}

    def add(name: str, where: str, path: tuple[str, ...], recipe: str | None) -> None:
        if name not in config.methods:
            raise unknown_name(where, name, "methods", config.methods)
        if name in path:
            cycle = brief(" -> ".join((*path, name)))
            raise UserError(
                f"methods: {name}: mask_of: found a cycle ({cycle}), expected a method "
                "with masks of its own at the end"
            )
        if len(path) == LONGEST_CHAIN:
            raise UserError(
                f"methods: {path[0]}: mask_of: found a chain of more than "
                f"{LONGEST_CHAIN} methods, expected the one whose masks all of them use"
            )
        settings = config.pruning.changed_by(config.methods[name])
        suffix = f"-{recipe}" if recipe else ""
        if recipe:
            settings = settings.model_copy(update={"recipe": recipe})
        if settings.mask_of:
            where = f"methods: {name}: mask_of"
            add(settings.mask_of, where, (*path, name), recipe)
            source = settings.mask_of + suffix
            settings = settings.model_copy(update={"mask_of": source})
        methods.setdefault(name + suffix, Method(name, settings))

    for i, name in enumerate(config.run):
        for recipe in config.with_recipes or [None]:
            add(name, f"run[{i}]", (), recipe)
    return methods


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


def _find_recipe(config: Configuration, name: str, where: str) -> Recipe:
    """Finds a recipe by its name."""
    if name not in config.recipes:
        raise unknown_name(f"{where}: recipe", name, "recipes", config.recipes)
    return config.recipes[name]


def _check_recipe(
    config: Configuration, name: str, where: str, epochs: int | None
) -> None:
    """Checks a recipe where it is used."""
    recipe = _find_recipe(config, name, where)
    epochs = epochs or recipe.epochs
    key = f"recipes: {brief(name)}"
    if recipe.warmup_epochs >= epochs:
        raise UserError(
            f"{key}: warmup_epochs: found {recipe.warmup_epochs:g}, "
            f"expected less than the {epochs} epochs of {where}"
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
        _check_recipe(config, baseline.recipe, f"baselines: {name}", None)
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


def _check_method(planned: Plan, method: Method) -> None:
    """Checks a method that is run."""
    config, settings = planned.config, method.settings
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
        _check_recipe(config, settings.recipe, place, entry.epochs)
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
        source = planned.methods[settings.mask_of].settings
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

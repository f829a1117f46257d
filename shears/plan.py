"""The plan: which baselines, methods and candidates a configuration asks for.

A candidate is a folder of results: "dense/seed_0" (a baseline, round 0 of the methods
that prune it) or "lamp/seed_0/round_1".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from shears.config import TRAINING_IMAGES, Configuration
from shears.methods import Method, find_methods
from shears.model.architecture import PARAMETERS
from shears.plan_checks import check_methods, check_recipe, check_sections, find_recipe
from shears.pruning.masks import MaskSettings, zeros_for
from shears.pruning.rounds import RoundSpec
from shears.runtime.errors import UserError, show_value
from shears.runtime.paths import check_file, tidy
from shears.training.recipe import Recipe


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
            name: tidy(weights)
            for name in self.baselines
            if (weights := self.config.baselines[name].weights)
        }

    @property
    def teachers(self) -> set[str]:
        """The teachers that are needed: "strong", "own" or "none"."""
        of_methods = [method.settings.teacher for method in self.methods.values()]
        of_baselines = [self.config.baselines[name].teacher for name in self.baselines]
        return {*of_methods, *of_baselines}

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

    @cached_property
    def compared(self) -> list[str]:
        """The methods that a trial compares, the one that the others meet first."""
        suffixes = [f"-{recipe}" for recipe in self.config.with_recipes] or [""]
        return [name + suffix for name in self.config.run for suffix in suffixes]

    def last_rounds(self) -> dict[str, int]:
        """The last round of each method that a trial compares.

        Raises:
            UserError: There is nothing to compare, or sparsities differ.
        """
        if len(self.compared) < 2:
            raise UserError(
                f"run: found {show_value(list(self.config.run))}, expected at least "
                "two methods for a trial, or a second one of with_recipes: it compares "
                "the others with the first"
            )
        rounds = {name: self.methods[name].settings.rounds for name in self.compared}
        sparsities = [r[-1].sparsity if r else 0.0 for r in rounds.values()]
        if 0.0 in sparsities or len(set(sparsities)) > 1:
            raise UserError(
                f"run: found last rounds with the sparsities {show_value(sparsities)}, "
                "expected rounds that end with the same one: a trial compares "
                "networks with equally many zeros"
            )
        return {name: len(r) for name, r in rounds.items()}

    @property
    def training_images(self) -> int:
        """How many images networks are trained on."""
        data = self.config.data
        left = TRAINING_IMAGES[data.name] - data.validation_images
        return data.training_images or left

    @property
    def all_images(self) -> int:
        """How many images a refit trains on: those and the validation images."""
        return self.training_images + self.config.data.validation_images

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
        return tidy(path) if path else None

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
        return find_recipe(self.config, self.config.teacher.recipe, "teacher")

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
    check_sections(config)
    planned = Plan(config, find_methods(config))
    check_methods(config, planned.methods)
    if "strong" in planned.teachers:
        check_recipe(config, config.teacher.recipe, "teacher", None)
    return planned

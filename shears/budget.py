"""A time budget: all epochs are scaled by one factor, so that a run should fit.

The factor is decided once and kept in a file. A second measurement would differ, and
with it every epoch, so that everything would train again.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from shears.config import Configuration, MethodSettings, RoundSettings
from shears.forecast import FORWARD, alike
from shears.plan import Plan, plan
from shears.runtime import machine
from shears.runtime.errors import UserError, show_value
from shears.runtime.files import read_json, write_json
from shears.training.speed import Step, StepTime, measure

UNITS = {"min": 60.0, "h": 3600.0}
# Seconds, estimated from the reference run: what does not grow with epochs.
AROUND_RUN = 60.0
AROUND_TRAINING = 15.0
AROUND_CANDIDATE = 10.0
AROUND_STUDY = 180.0

#: Measures steps: `speed.measure`.
Measure = Callable[..., tuple[float, Sequence[StepTime]]]


class Cost(NamedTuple):
    """What training costs.

    Attributes:
        name: What is trained, for readers: "teacher", "dense", "lamp 1".
        epochs: How many epochs, before they are scaled.
        seconds: For an epoch of each of them, one after another.
    """

    name: str
    epochs: int
    seconds: float


def parse_budget(text: str) -> float:
    """Reads a budget that the configuration has checked ("90min", "1.5h"): seconds."""
    unit = "min" if text.endswith("min") else "h"
    return float(text.removesuffix(unit)) * UNITS[unit]


def scale_epochs(epochs: int, factor: float) -> int:
    """Scales a number of epochs down; at least one is left.

    Args:
        epochs: How many there were.
        factor: At most 1.
    """
    return max(1, math.floor(epochs * factor + 1e-9))


def find_factor(costs: Sequence[Cost], seconds: float) -> float:
    """Finds the factor that makes trainings fit; at most 1.

    Args:
        costs: The trainings.
        seconds: How long they may take together.
    """
    total = sum(cost.epochs * cost.seconds for cost in costs)
    return min(1.0, max(0.0, seconds / total)) if total else 1.0


def scale(config: Configuration, factor: float) -> Configuration:
    """Scales all epochs of a configuration: of the teacher, baselines and rounds.

    A warmup keeps its share of the epochs, or gets a smaller one, so that it always
    ends before they do.

    Args:
        config: The configuration.
        factor: At most 1.
    """

    def scale_rounds(settings: MethodSettings) -> MethodSettings:
        if "rounds" not in settings.model_fields_set:
            return settings
        rounds = tuple(
            RoundSettings(
                sparsity=entry.sparsity, epochs=scale_epochs(entry.epochs, factor)
            )
            for entry in settings.rounds
        )
        return settings.model_copy(update={"rounds": rounds})

    places = [config.pruning, *config.methods.values()]
    of_rounds = [entry.epochs for settings in places for entry in settings.rounds]
    recipes = {}
    for name, recipe in config.recipes.items():
        share = min(scale_epochs(e, factor) / e for e in (recipe.epochs, *of_rounds))
        recipes[name] = recipe.model_copy(
            update={
                "epochs": scale_epochs(recipe.epochs, factor),
                "warmup_epochs": recipe.warmup_epochs * share,
            }
        )
    methods = {name: scale_rounds(m) for name, m in config.methods.items()}
    return config.model_copy(
        update={
            "recipes": recipes,
            "pruning": scale_rounds(config.pruning),
            "methods": methods,
        }
    )


@dataclass(frozen=True)
class Training:
    """What is trained, once or for each seed.

    Attributes:
        name: For readers: "teacher", "dense", "lamp 1".
        count: How often: once, or for each seed.
        epochs: Of each.
        step: Its training step.
        refit: Whether it may be trained once more. A refit trains the chosen chain,
            which is not known yet: the method with the most epochs is assumed.
    """

    name: str
    count: int
    epochs: int
    step: Step
    refit: bool


def list_trainings(planned: Plan) -> list[Training]:
    """Lists what a plan trains."""
    config, seeds = planned.config, len(planned.config.seeds)
    precision, rows = config.precision, list[Training]()
    longest = max(
        planned.methods,
        key=lambda name: sum(r.epochs for r in planned.methods[name].settings.rounds),
        default=None,
    )
    pruned = longest and planned.methods[longest].settings.baseline
    if "strong" in planned.teachers:
        recipe = planned.teacher_recipe()
        step = Step(recipe, precision, config.teacher.width)
        rows.append(
            Training("teacher", config.teacher.count, recipe.epochs, step, config.refit)
        )
    for name in planned.baselines:
        if name not in planned.imported:
            recipe = planned.baseline_recipe(name)
            distilled = config.baselines[name].teacher != "none"
            step = Step(recipe, precision, distilled=distilled)
            refit = config.refit and pruned in (None, name)
            rows.append(Training(name, seeds, recipe.epochs, step, refit))
    for name, method in planned.methods.items():
        distilled = method.settings.teacher != "none"
        for number in range(1, len(method.settings.rounds) + 1):
            recipe = planned.round_recipe(name, number)
            step = Step(recipe, precision, distilled=distilled)
            refit = config.refit and name == longest
            title = f"{name} {number}"
            rows.append(Training(title, seeds, recipe.epochs, step, refit))
    return rows


def estimate(
    planned: Plan, measuring: Callable[[Sequence[Step]], Sequence[StepTime]]
) -> tuple[list[Cost], float, dict[str, float]]:
    """Estimates what a plan's training costs.

    Args:
        planned: The plan.
        measuring: Measures steps.

    Returns:
        The trainings; the seconds of all else, such as the teacher's logits; and
        measured images per second, by what is trained.
    """
    rows = list_trainings(planned)
    steps = {alike(row.step): row.step for row in rows}
    times = dict(zip(steps, measuring(list(steps.values())), strict=True))
    config = planned.config
    images = planned.training_images + FORWARD * config.data.validation_images
    more = planned.all_images / planned.training_images  # a refit's
    costs, speeds = [], {}
    around = AROUND_RUN + AROUND_CANDIDATE * len(planned.candidates)
    around += AROUND_STUDY * bool(config.optimizers.data_sets)
    for row in rows:
        per_image = times[alike(row.step)].per_image
        count = row.count if row.step.width is not None else 1  # of all teachers
        times_trained = row.count + more * row.refit * count
        speeds[row.name] = 1 / per_image
        costs.append(Cost(row.name, row.epochs, times_trained * images * per_image))
        around += AROUND_TRAINING * times_trained
        if row.step.width is not None:
            views = config.views.count * planned.training_images
            around += times_trained * FORWARD * views * per_image
    students = [times[alike(row.step)].per_image for row in rows if not row.step.width]
    own = {
        m.settings.baseline
        for m in planned.methods.values()
        if m.settings.teacher == "own"
    }
    if own:  # the logits of the baselines that their rounds are distilled from
        views = config.views.count * planned.training_images
        times_saved = len(own) * len(config.seeds) + more * config.refit
        around += times_saved * FORWARD * views * max(students)
    return costs, around, speeds


def _describe_trainings(planned: Plan) -> dict[str, str]:
    """Describes what a plan trains, to know it again."""
    about = (planned.training_images, planned.config.views.count)
    return {
        row.name: str((row.epochs, row.count + row.refit, *alike(row.step), *about))
        for row in list_trainings(planned)
    }


def decide(
    planned: Plan, *, threads: int, gpus: int = 0, measuring: Measure = measure
) -> dict[str, Any]:
    """Measures training here and decides the factor.

    Returns:
        The decision for this budget, which is factor, trainings (what it was decided
        for), images_per_second, seconds (as estimated, of the whole run before and
        after scaling, and of what does not scale), machine and date.

    Raises:
        UserError: The measurement failed.
    """
    costs, around, speeds = estimate(
        planned, lambda steps: measuring(steps, threads=threads, gpus=gpus)[1]
    )
    budget = planned.config.budget
    factor = find_factor(costs, parse_budget(budget) - around)
    before, after = (
        around + sum(scale_epochs(c.epochs, f) * c.seconds for c in costs)
        for f in (1.0, factor)
    )
    return {
        "factor": factor,
        "trainings": _describe_trainings(planned),
        "images_per_second": speeds,
        "seconds": {"before": before, "after": after, "fixed": around},
        "machine": machine.describe(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def keep_to_budget(
    planned: Plan,
    file: str | Path,
    *,
    threads: int,
    gpus: int = 0,
    measuring: Measure | None = measure,
) -> Plan:
    """Plans again with epochs that fit the budget.

    Args:
        planned: The plan of the configuration as it is, which has a budget.
        file: Keeps a factor for each budget. It is decided here if the file has none
            for this one. Those of others stay: a run may be going on with one.
        threads: Threads of a training job that runs alone.
        gpus: GPUs of a training job.
        measuring: Measures steps; None in a job, for which the factor is decided.

    Raises:
        UserError: The file is missing in a job, or not one of ours; the measurement
            failed; the file cannot be written.
    """
    budget = planned.config.budget
    kept: Any = read_json(file) if Path(file).exists() else {}
    if not isinstance(kept, dict):
        raise UserError(
            f"{file}: found {show_value(kept)}, expected a decision for each budget: "
            "delete the file to decide again"
        )
    if budget not in kept:
        if measuring is None:
            raise UserError(
                f"{file}: not found for a budget of {budget}, expected from the start "
                "of the run: run it again"
            )
        kept[budget] = decide(planned, threads=threads, gpus=gpus, measuring=measuring)
        try:
            write_json(file, kept)
        except OSError as error:
            raise UserError(f"{file}: {error.strerror}") from None
    factor: Any = kept[budget]
    if isinstance(factor, dict):
        factor = factor.get("factor")
    if type(factor) not in (int, float) or not 0 <= factor <= 1:
        raise UserError(
            f"{file}: {budget}: factor: found {show_value(factor)}, expected 0 to 1: "
            "delete the file to decide again"
        )
    return plan(scale(planned.config, float(factor)))


def describe(before: Plan, after: Plan, file: str | Path) -> str:
    """Says in a line what the epochs became, which `keep_to_budget` has decided."""
    budget = before.config.budget
    decision: Any = read_json(file)[budget]
    if not isinstance(decision, dict):  # set by hand
        decision = {"factor": decision}
    if "trainings" not in decision:
        text = f"scaled for {budget} by {decision['factor']:.3g}, as {file} says"
    elif decision["trainings"] == _describe_trainings(before):
        seconds = decision["seconds"]["after"]
        fits = "fits" if seconds <= parse_budget(budget) else "does not fit"
        text = (
            f"the run {fits} {budget}: {seconds / 60:.0f} min expected, kept in {file}"
        )
    else:
        text = f"scaled for {budget} by {decision['factor']:.3g}, as decided for other "
        text += f"settings; to decide again, delete {file}"
    text = f"budget: {text}; "
    pairs = zip(list_trainings(before), list_trainings(after), strict=True)
    changes = [
        f"{old.name} {new.epochs} of {old.epochs}"
        for old, new in pairs
        if new.epochs != old.epochs
    ]
    if not changes:
        return f"{text}all epochs stay"
    shown = changes[:12] + ["..."] * (len(changes) > 12)
    return f"{text}epochs: {', '.join(shown)}"

"""How long jobs will take and how much disk they need, before they begin.

Training is estimated from a measured second of its step on this machine
(`speed.measure`); the other jobs from what they took on one machine, scaled by how long
TensorFlow takes to start here.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from shears.model.architecture import PARAMETERS
from shears.training.checkpoint import epochs_done
from shears.training.recipe import Recipe
from shears.training.speed import Step, StepTime, measure

FORWARD = 1 / 3  #: of a training step: the backward pass takes twice as long
STARTED = 2.4  # seconds that TensorFlow took to start where SECONDS was measured
# Of each rule's job there, on two cores (make demo).
SECONDS = {
    "download_cifar10": 60.0,  # mostly the network's
    "prepare_dataset": 2.0,
    "import_baseline": 4.0,
    "score_candidate": 6.0,
    "benchmark_optimizer": 6.0,
    "plot_optimizers": 6.0,
    "run_notebook": 19.0,
    "fill_notebook": 19.0,
    "run_pruning_notebook": 15.0,
    "choose_submission": 0.5,
    "package_submission": 0.5,
    "pack_submission": 0.5,
    "measure_latency": 66.0,
    "score_report": 7.0,
    "leaderboard": 30.0,
}
USUAL = StepTime(3.0, 1 / 1000)  # a step that is not measured
LEAST_IMAGES = 30_000  #: below this, training takes no longer than measuring its step
AROUND = 2.5  # seconds of a training job besides start, compiling and epochs
TRAINED = ("train_teacher", "train_baseline", "prune_round")
REFITS = {  #: The rule that each rule of a refit repeats.
    "refit_dataset": "prepare_dataset",
    "refit_teacher": "train_teacher",
    "refit_teacher_logits": "save_teacher_logits",
    "refit_baseline_logits": "save_baseline_logits",
    "refit_baseline": "train_baseline",
    "refit_round": "prune_round",
    "refit_score": "score_candidate",
}
IMAGE_BYTES = 32 * 32 * 3
DATA_IMAGES = {"cifar10": 60_000, "digits": 1_797}
VIEW_BYTES = 3 + 4 + 2 + 10 * 2  # place, partner, share, logits
ARCHIVE_BYTES = 170_052_171
CHECKPOINT_BYTES = 5 * 4 * PARAMETERS  # weights, mask, two moments, average
CANDIDATE_BYTES = 4 * PARAMETERS + 200_000  # weights; history, scores, predictions


@dataclass(frozen=True)
class Work:
    """What a job does.

    Attributes:
        name: Its rule.
        threads: Its threads.
        images: Passes through a training step, in images; 0 if it trains nothing.
        step: The training step, if it has one.
        saved: Views of images whose logits it saves.
    """

    name: str
    threads: int
    images: float = 0.0
    step: Step | None = None
    saved: int = 0

    @property
    def rule(self) -> str:
        """Its rule, or the one that it repeats in a refit."""
        return REFITS.get(self.name, self.name)

    @property
    def kind(self) -> str:
        """What a measured job tells about others: "teacher", "student" or nothing."""
        return _kind(self.step)


def _kind(step: Step | None) -> str:
    if step is None:
        return ""
    return "student" if step.width is None else "teacher"


@dataclass(frozen=True)
class Forecast:
    """What is expected.

    Attributes:
        seconds: Of each job, in order.
        speeds: Measured images per second, by kind of training.
    """

    seconds: Sequence[float]
    speeds: Mapping[str, float]


def training_work(
    name: str,
    threads: int,
    settings: Mapping[str, Any],
    *,
    images: int,
    validation_images: int,
    distilled: bool = False,
    resumes: str | Path,
    code: str,
) -> Work:
    """Describes a job that trains.

    Args:
        name: Its rule.
        threads: Its threads.
        settings: The rule's settings: "recipe", "precision" and, for the teacher,
            "width".
        images: Training images.
        validation_images: Images that each epoch ends with.
        distilled: Whether it has a teacher's logits.
        resumes: The checkpoint that it may resume from.
        code: Digest of its code.
    """
    recipe = Recipe(**settings["recipe"])
    left = recipe.epochs - epochs_done(resumes, settings, code)
    step = Step(recipe, settings["precision"], settings.get("width"), distilled)
    passes = left * (images + FORWARD * validation_images)
    return Work(name, threads, passes, step)


def logits_work(
    name: str,
    threads: int,
    recipe: Recipe,
    precision: str,
    *,
    views: int,
    images: int,
    width: float | None,
    networks: int = 1,
) -> Work:
    """Describes a job that saves the logits of views.

    Args:
        name: Its rule.
        threads: Its threads.
        recipe: How the network was trained.
        precision: As configured.
        views: Views that the job saves, of each image.
        images: Training images.
        width: The teacher's; None for the fixed network.
        networks: How many networks' logits are averaged.
    """
    saved, step = views * images, Step(recipe, precision, width)
    return Work(name, threads, FORWARD * saved * networks, step, saved)


def alike(step: Step) -> tuple[Any, ...]:
    """Returns what a step's time depends on; equal for steps that take as long."""
    recipe = step.recipe
    return (
        recipe.batch_size,
        recipe.optimizer,
        recipe.batch_norm or step.width is not None,
        step.precision,
        step.width,
        step.distilled,
    )


def forecast(
    works: Sequence[Work], *, gpus: int = 0, measured: bool = True
) -> Forecast:
    """Forecasts how long jobs take; measures the steps of those that train.

    Args:
        works: The jobs.
        gpus: GPUs that a training job has.
        measured: Whether steps are measured, which takes some 10
            seconds for each number of threads.

    Raises:
        UserError: The measurement failed.
    """
    steps: dict[int, dict[tuple[Any, ...], Step]] = {}  # by threads
    for work in works:
        if work.step:
            steps.setdefault(work.threads, {})[alike(work.step)] = work.step
    start, times = STARTED, dict[tuple[int, tuple[Any, ...]], StepTime]()
    speeds: dict[str, float] = {}
    for threads, wanted in sorted(steps.items()) if measured else ():
        start, found = measure(list(wanted.values()), threads=threads, gpus=gpus)
        for (key, step), time in zip(wanted.items(), found, strict=True):
            times[threads, key] = time
            speeds[_kind(step)] = 1 / time.per_image
    seconds = []
    for work in works:
        if work.step is None:
            seconds.append(SECONDS.get(work.rule, 10.0) * start / STARTED)
            continue
        time = times.get((work.threads, alike(work.step)), USUAL)
        around = start + time.compiling + AROUND * start / STARTED
        seconds.append(around + work.images * time.per_image)
    return Forecast(seconds, speeds)


def together(
    works: Sequence[Work],
    seconds: Sequence[float],
    *,
    cores: int,
    gpus: int = 0,
    after: Sequence[Collection[int]] = (),
) -> tuple[list[float], float]:
    """Estimates how long jobs take together on one machine.

    Args:
        works: The jobs.
        seconds: How long each takes.
        cores: The machine's cores.
        gpus: The GPUs that training jobs share; with some, jobs wait for these.
        after: For each job, the numbers of those that it waits for. Jobs that wait for
            each other leave cores idle.

    Returns:
        The share of the run's time that a second of each job takes, and seconds in all.
    """
    shares = [
        1.0 if gpus and work.step else min(1.0, work.threads / cores) for work in works
    ]
    total = sum(s * share for s, share in zip(seconds, shares, strict=True))
    longest = max(total, _longest_chain(seconds, after))
    return [share * longest / total for share in shares] if total else shares, longest


def _longest_chain(seconds: Sequence[float], after: Sequence[Collection[int]]) -> float:
    """Computes how long the jobs take if each starts as soon as it can."""
    ends: dict[int, float] = {}
    for job in TopologicalSorter(dict(enumerate(after))).static_order():
        ends[job] = seconds[job] + max((ends[one] for one in after[job]), default=0.0)
    return max(ends.values(), default=0.0)


def disk_needed(works: Sequence[Work], *, data: str, downloads: bool) -> int:
    """Estimates the bytes that jobs write, with some room to spare.

    Args:
        works: The jobs.
        data: The data set's name.
        downloads: Whether the archive is fetched.
    """
    rules = [work.rule for work in works]
    trained = sum(rule in TRAINED for rule in rules)
    total = trained * (CHECKPOINT_BYTES + CANDIDATE_BYTES) + len(rules) * 100_000
    total += sum(work.saved for work in works) * VIEW_BYTES
    total += rules.count("prepare_dataset") * DATA_IMAGES[data] * IMAGE_BYTES
    return total + downloads * ARCHIVE_BYTES


def in_words(seconds: float) -> str:
    """Says a time that is not known exactly: "20 s", "12 min" or "2 h 5 min"."""
    if seconds < 90:
        return f"{max(5, round(seconds / 5) * 5)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return (
        f"{minutes // 60} h {minutes % 60} min"
        if minutes % 60
        else f"{minutes // 60} h"
    )


def in_bytes(count: float) -> str:
    """Says a number of bytes: "12 MB" or "1.2 GB"."""
    if count < 1e9:
        return f"{max(1, round(count / 1e6))} MB"
    return f"{count / 1e9:.1f} GB"


# What a group of jobs makes, for readers; in the order of the run.
NAMES = (
    ("download_cifar10", "the archive", "the archive"),
    ("prepare_dataset", "the data set", "the data set"),
    ("train_teacher", "a teacher", "{} teachers"),
    ("save_teacher_logits", "its logits", "its logits"),
    ("import_baseline", "an imported network", "{} imported networks"),
    ("train_baseline", "a dense network", "{} dense networks"),
    ("save_baseline_logits", "a network's logits", "{} networks' logits"),
    ("prune_round", "a pruning round", "{} pruning rounds"),
    ("score_candidate", "a score", "{} scores"),
    ("measure_latency", "latencies", "latencies"),
    ("package_submission", "the submission", "the submission"),
    ("run_pruning_notebook", "Part B's notebook", "Part B's notebook"),
    ("benchmark_optimizer", "an optimizer's run", "{} optimizers' runs"),
    ("run_notebook", "Part A's notebook", "Part A's notebook"),
    ("fill_notebook", "Part A's notebook", "Part A's notebook"),
    ("score_report", "the report", "the report"),
    ("leaderboard", "the leaderboard", "the leaderboard"),
)


def name_jobs(rules: Sequence[str]) -> str:
    """Lists in words what jobs make; nothing if there are none."""
    parts = []
    for rule, one, several in NAMES:
        if count := rules.count(rule):
            parts.append(one if count == 1 else several.format(count))
    if any(rule in REFITS for rule in rules):
        parts.append("the refit of the chosen network")
    return ", ".join(parts)

# Validation, paths, wildcard constraints and the named input functions.

import json
import math
import os
import shlex
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import update_config, validate

from shears.config import (TRAINING_IMAGES, check)
from shears.plan import (baselines, candidates)
from shears.plan import (check_meaning, methods)
from shears.config import typed
from shears.runtime.errors import plain_errors
from shears.runtime.machine import find_gpus
from shears.runtime.code_digest import code_digest

ROOT = Path(workflow.basedir)
SCHEMA = ROOT / "schemas/config.schema.yaml"

ASKED = {  # behind --config
    key: typed(value) if isinstance(value, list | dict) else value
    for key, value in (workflow.config_settings.config or {}).items()
}
update_config(config, ASKED)

with plain_errors():
    check(config, yaml.safe_load(SCHEMA.read_text()))
    validate(config, str(SCHEMA))  # fills in the defaults
    check_meaning(config)
    METHODS = methods(config)
    BASELINES = baselines(config)

BASE = Path(os.path.normpath(config["directory"]))
RESULTS = BASE / "results"
LOGS = BASE / "logs"
BENCHMARKS = BASE / "benchmarks"
CHECKPOINTS = BASE / "checkpoints"
OPTIMIZERS = config["optimizers"]
CELLS = [
    (data_set, optimizer, implementation)
    for data_set in OPTIMIZERS["data_sets"]
    for optimizer in ("gradient_descent", "sgd", "adagrad", "adam")
    for implementation in ("ours", "keras")
]
NOTEBOOK_RUN = RESULTS / "submission/assignment_notebook.ipynb"
SEEDS = config["seeds"]
COMMAND = ["snakemake", "--cores", "all"]  # what makes the same again
if workflow.config_settings.configfiles:
    COMMAND += ["--configfile", *map(os.path.relpath, workflow.overwrite_configfiles)]
if ASKED:
    COMMAND += ["--config", *(f"{key}={json.dumps(ASKED[key])}" for key in ASKED)]
CANDIDATES = candidates(config)
# Images a second: less than half of the 1,400 that two threads of the slower of two
# machines trained in float32 (docs/results.md).
SLOWEST = 600
MOST_ROUNDS = max((len(method["rounds"]) for method in METHODS.values()), default=0)


wildcard_constraints:
    candidate="|".join(CANDIDATES),
    baseline="|".join(BASELINES),
    method="|".join(METHODS) or "none",
    seed="|".join(map(str, SEEDS)),
    round="|".join(str(n + 1) for n in range(MOST_ROUNDS)) or "none",
    data_set="|".join(OPTIMIZERS["data_sets"]) or "none",
    optimizer="gradient_descent|sgd|adagrad|adam",
    implementation="ours|keras",


def code(rule: str) -> str:
    """What a rule's script and the library behind it do: a change reruns the rule."""
    return code_digest(ROOT / f"scripts/{rule}.py", ROOT)


def recipe(name: str, **changes) -> dict:
    """A recipe of the configuration, with some of its values changed."""
    # Sorted, because another order of the keys is no other recipe.
    return dict(sorted({**config["recipes"][name], **changes}.items()))


def archive(wildcards) -> dict[str, str]:
    """What the data set is made of: the digits come with scikit-learn."""
    if config["data"]["name"] == "digits":
        return {}
    return {"archive": rules.download_cifar10.output.archive}


def study(wildcards) -> dict[str, str]:
    """What Part A's section of the report is made of, if there is one."""
    return dict(rules.plot_optimizers.output.items()) if CELLS else {}


def share_of_cores(side_by_side: int) -> int:
    """Threads of each of so many trainings: narrow ones side by side beat wide ones."""
    cores = workflow.resource_settings.cores or 1  # on a cluster its profile says
    return max(1, min(16, cores // max(side_by_side, 1)))


def gpus(wildcards) -> int:
    """GPUs a training stage asks for, the same in every process of a run."""
    if config["gpus"] != "auto":
        return config["gpus"]
    slurm = getattr(workflow.executor_plugin, "name", "") == "slurm"
    return int(os.environ.setdefault("SHEARS_GPUS", str(find_gpus(slurm=slurm))))


def growing(amount: int):
    """A resource that a stage which is tried again gets more of."""
    return lambda wildcards, attempt: amount * attempt


def minutes(epochs, width=None):
    """A stage's limit of time on a cluster, from how often it trains with each image.

    Args:
        epochs: A function of the wildcards.
        width: The teacher's, if it is the teacher that works: at width 1 it takes 1.7
            times as long as the fixed network.
    """
    data = config["data"]
    images = TRAINING_IMAGES[data["name"]] - data["validation_images"]
    images = data["training_images"] or images
    images *= 1 if width is None else 1.7 * max(1, width**2)
    return lambda wildcards, attempt: attempt * math.ceil(
        10 + epochs(wildcards) * images / SLOWEST / 60
    )


def training_minutes(settings, width=None):
    """The limit of time of a training."""
    return minutes(lambda wildcards: settings(wildcards)["recipe"]["epochs"], width)


def asking_minutes(width=None):
    """The limit of time of asking about views: a forward pass is a third of a step."""
    return minutes(lambda wildcards: config["views"]["count"] / 3, width)


# A rule's settings are one dictionary: of parameters Snakemake compares the set of values
# without their names, so two that change places would go unnoticed.
def teacher_settings(wildcards) -> dict:
    """What the teacher is trained with; its recipe need not be there if none is."""
    return {
        "recipe": recipe(config["teacher"]["recipe"]),
        "precision": config["precision"],
        "width": config["teacher"]["width"],
        "seed": config["teacher"]["seed"],
    }


def baseline_settings(wildcards) -> dict:
    """What a baseline is trained with."""
    return {
        "recipe": recipe(config["baselines"][wildcards.baseline]["recipe"]),
        "precision": config["precision"],
        "seed": int(wildcards.seed),
    }


def round_settings(wildcards) -> dict:
    """What a round of pruning is made with."""
    number, method = int(wildcards.round), METHODS[wildcards.method]
    entry = method["rounds"][number - 1]
    keys = "saliency allocation densities floor remove_dead_units ramp mask_updates"
    keys += " regrowth start shuffled"
    return {
        **{key: method[key] for key in keys.split()},
        "sparsity": entry["sparsity"],
        "recipe": recipe(method["recipe"], epochs=entry["epochs"]),
        "precision": config["precision"],
        # Rounds do not see the images in the same order.
        "seed": int(wildcards.seed) * 1000 + number,
        "initial_seed": int(wildcards.seed),
    }


def lessons(teacher: str, baseline: str, seed: str) -> dict[str, Path]:
    """The answers of whom a stage learns from, if it does."""
    if teacher == "none":
        return {}
    folder = "teacher" if teacher == "strong" else f"{baseline}/seed_{seed}"
    return {"lessons": RESULTS / folder / "lessons.h5"}


def baseline_inputs(wildcards) -> dict[str, Path]:
    """What a baseline is made of besides the data."""
    baseline = config["baselines"][wildcards.baseline]
    return lessons(baseline["teacher"], wildcards.baseline, wildcards.seed)


def round_inputs(wildcards) -> dict[str, Path]:
    """What a round is made of besides the data: the baseline is round 0."""
    number, method = int(wildcards.round), METHODS[wildcards.method]
    if number > len(method["rounds"]):
        raise WorkflowError(
            f"{wildcards.method} has {len(method['rounds'])} rounds, found {number}"
        )
    folder = RESULTS / wildcards.method / f"seed_{wildcards.seed}"
    previous = folder / f"round_{number - 1}"
    if number == 1:
        previous = RESULTS / method["baseline"] / f"seed_{wildcards.seed}"
    files = {"previous": previous / "weights.h5"}
    if method["mask_of"]:
        other = RESULTS / method["mask_of"] / f"seed_{wildcards.seed}"
        # Each is trained anew: rounds do not stand on each other.
        baseline = RESULTS / method["baseline"] / f"seed_{wildcards.seed}"
        files = {
            "previous": baseline / "weights.h5",
            "mask": other / f"round_{number}/weights.h5",
        }
    return {**files, **lessons(method["teacher"], method["baseline"], wildcards.seed)}


def of_all_candidates(name: str) -> list[Path]:
    """A file of every candidate."""
    return [RESULTS / candidate / name for candidate in CANDIDATES]

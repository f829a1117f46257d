# Validation, paths, wildcard constraints and the named input functions.

import os
from pathlib import Path

import yaml
from snakemake.utils import validate

from shears.config import check, check_meaning
from shears.errors import plain_errors
from shears.sources import code_digest

ROOT = Path(workflow.basedir)
SCHEMA = ROOT / "schemas/config.schema.yaml"

with plain_errors():
    check(config, yaml.safe_load(SCHEMA.read_text()))
    validate(config, str(SCHEMA))  # fills in the defaults
    check_meaning(config)

BASE = Path(os.path.normpath(config["directory"]))
RESULTS = BASE / "results"
LOGS = BASE / "logs"
BENCHMARKS = BASE / "benchmarks"
CHECKPOINTS = BASE / "checkpoints"
ROUNDS = config["pruning"]["rounds"]
OPTIMIZERS = config["optimizers"]
CELLS = [
    (data_set, optimizer, implementation)
    for data_set in OPTIMIZERS["data_sets"]
    for optimizer in ("gradient_descent", "sgd", "adagrad", "adam")
    for implementation in ("ours", "keras")
]
CANDIDATES = ["baseline"] + [f"round_{n + 1}" for n in range(len(ROUNDS))]


wildcard_constraints:
    candidate="|".join(CANDIDATES),
    round="|".join(str(n + 1) for n in range(len(ROUNDS))) or "none",
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


# A rule's settings are one dictionary: of parameters Snakemake compares the set of values
# without their names, so two that change places would go unnoticed.
def round_settings(wildcards) -> dict:
    """What a round of pruning is made with."""
    number, pruning = int(wildcards.round), config["pruning"]
    entry = ROUNDS[number - 1]
    return {
        "sparsity": entry["sparsity"],
        "recipe": recipe(pruning["recipe"], epochs=entry["epochs"]),
        "allocation": pruning["allocation"],
        "ramp": pruning["ramp"],
        "mask_updates": pruning["mask_updates"],
        "precision": config["precision"],
        # Rounds do not see the images in the same order.
        "seed": config["seed"] * 1000 + number,
    }


def previous_weights(wildcards) -> Path:
    """The weights a round starts from: the baseline is round 0."""
    return RESULTS / CANDIDATES[int(wildcards.round) - 1] / "weights.h5"


def of_all_candidates(name: str) -> list[Path]:
    """A file of every candidate."""
    return [RESULTS / candidate / name for candidate in CANDIDATES]

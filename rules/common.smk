# Validation, paths, wildcard constraints and the named input functions.

import os
from pathlib import Path

import yaml
from snakemake.utils import validate

from shears.config import check, check_meaning
from shears.errors import plain_errors
from shears.sources import source_files

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
ROUNDS = config["pruning"]["rounds"]
CANDIDATES = ["baseline"] + [f"round_{n + 1}" for n in range(len(ROUNDS))]


wildcard_constraints:
    candidate="|".join(CANDIDATES),
    round="|".join(str(n + 1) for n in range(len(ROUNDS))) or "none",


def code(rule: str) -> list[str]:
    """A rule's script and the library's modules behind it: editing these reruns it."""
    files = source_files(ROOT / f"scripts/{rule}.py", ROOT)
    return [os.path.relpath(file) for file in files]


def recipe(name: str, **changes) -> dict:
    """A recipe of the configuration, with some of its values changed."""
    return {**config["recipes"][name], **changes}


def archive(wildcards) -> dict[str, str]:
    """What the data set is made of: the digits come with scikit-learn."""
    if config["data"]["name"] == "digits":
        return {}
    return {"archive": rules.download_cifar10.output.archive}


def this_round(wildcards) -> dict:
    """The round's entry in the configuration."""
    return ROUNDS[int(wildcards.round) - 1]


def previous_weights(wildcards) -> Path:
    """The weights a round starts from: the baseline is round 0."""
    return RESULTS / CANDIDATES[int(wildcards.round) - 1] / "weights.h5"


def of_all_candidates(name: str) -> list[Path]:
    """A file of every candidate."""
    return [RESULTS / candidate / name for candidate in CANDIDATES]

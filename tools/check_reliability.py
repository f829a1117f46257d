"""Measures what docs/reliability.md promises, and writes the figures into it.

It covers kills, full disks (as root), refusals, damaged weights files, the cost of
saving, and the effect of another number of cores, precision or seed (on CIFAR-10 if
CIFAR10_ARCHIVE names the archive). It takes one to two hours on two cores.
"""

import argparse
import copy
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from snakemake.utils import update_config

from shears.model.parameters import initial_parameters
from shears.runtime import machine
from shears.runtime.device import choose_precision, prepare
from shears.runtime.files import read_json, whole_file
from shears.runtime.output import checked_output
from shears.training.checkpoint import Checkpoint, State
from shears.training.loop import train_network
from shears.training.run_context import RunContext
from tests import ROOT
from tests.workflow.project import copy_project, snakemake
from tests.workflow.reruns import table
from tools.bench_training import random_images
from tools.configuration import read_configuration
from tools.full_disk import full_disk_runs
from tools.fuzz import ALLOWED, MUTANTS, count, fuzz
from tools.kill_runs import LONGER, VICTIMS, kill_runs
from tools.write_results import markdown_table, replace_part

PAGE = ROOT / "docs/reliability.md"
# Kinds of bad input: the test file and the test that has one case for each kind.
REFUSALS = {
    "archives": ("data/test_cifar10", "bad_archives_are_refused_in_a_line"),
    "folders": ("data/test_cifar10", "bad_folders_are_refused_in_a_line"),
    "pickled batches": (
        "data/test_batch_pickle",
        "bad_batches_are_refused_in_one_line",
    ),
    "servers": ("data/test_download", "bad_servers_are_reported_in_two_lines"),
    "configuration values": (
        "test_config",
        "bad_configurations_are_refused_in_one_line",
    ),
    "configuration files": (
        "runtime/test_yaml_files",
        "bad_configuration_files_are_refused_in_a_line",
    ),
    "HDF5 weights files": (
        "weight_files/test_canonical",
        "bad_weights_are_refused_in_one_line",
    ),
    "other weights files": (
        "weight_files/test_canonical",
        "files_that_are_not_hdf5_are_refused_in_one_line",
    ),
}
VARIED = ("dense/seed_{}", "lamp/seed_{}/round_1", "lamp/seed_{}/round_2")
# What may differ between two machines, or between two runs on one.
VARIANTS: dict[str, tuple[dict[str, Any], int, dict[str, str]]] = {
    "two cores, bfloat16 (the reference)": ({"precision": "bfloat16"}, 2, {}),
    "the same again": ({"precision": "bfloat16"}, 2, {}),
    "one core": ({"precision": "bfloat16"}, 1, {}),
    "float32": ({"precision": "float32"}, 2, {}),
    "float32, without oneDNN": (
        {"precision": "float32"},
        2,
        {"TF_ENABLE_ONEDNN_OPTS": "0"},
    ),
    "seed 1": ({"precision": "bfloat16", "seeds": [1]}, 2, {}),
    "seed 2": ({"precision": "bfloat16", "seeds": [2]}, 2, {}),
}


def describe_kills(kills: int, seed: int) -> str:
    """Kills runs and describes the outcome."""
    outcome = kill_runs(kills, seed, longest=25, **LONGER)
    counts = outcome["kills"]
    by_victim = ", ".join(f"{n} of {VICTIMS[victim]}" for victim, n in counts.items())
    return (
        f"{sum(counts.values())} kills (SIGKILL) at random moments, seed {seed}, over "
        f"{outcome['finished']} end-to-end runs on the digits: {by_victim}. "
        f"Training resumed {outcome['resumed']} times. "
        "Files that differ from the undisturbed run's (weights, scores, choice, "
        f"submission): {len(outcome['differ'])}. "
        f"Whole epochs trained twice: {outcome['repeated']}. "
        f"Temporary files and checkpoints left: {len(outcome['left'])}.\n"
    )


def describe_full_disks() -> str:
    """Fills disks and describes the outcome."""
    rows = []
    for whole in (False, True):
        try:
            runs = full_disk_runs(whole=whole)
        except PermissionError as error:
            return f"Full disk: not run ({error}).\n"
        for job, outcome in runs.items():
            where = "the whole project" if whole else "`directory`"
            rows.append(
                [
                    job,
                    where,
                    *(
                        "yes" if outcome[key] else "no"
                        for key in ("failed", "reported", "traceback")
                    ),
                    str(len(outcome["left"])),
                    "yes" if outcome["succeeded"] else "no",
                ]
            )
    header = (
        "job,on the full disk,failed,cause reported,traceback,files left,"
        "succeeds once there is room"
    )
    return "A disk (tmpfs) that is full from the moment a job begins:\n\n" + (
        markdown_table(header.split(","), rows)
    )


def describe_refusals() -> str:
    """Runs the tests of refusals and counts them."""
    counts = []
    for kind, (file, test) in REFUSALS.items():
        node = f"tests/unit/{file}.py::test_{test}"
        run = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", node],
            cwd=ROOT,
            capture_output=True,
            encoding="utf-8",
        )
        if run.returncode:
            raise SystemExit(run.stdout)
        (passed,) = re.findall(r"(\d+) passed", run.stdout)
        counts.append(f"{kind} {passed}")
    return (
        "Kinds of bad input that are refused, each in one or two lines, without a "
        f"traceback or a partial file: {', '.join(counts)}.\n"
    )


class _Timed(Checkpoint):
    """A checkpoint that measures how long saving takes."""

    def save(self, state: State) -> None:
        start = time.perf_counter()
        super().save(state)
        self.seconds = [*getattr(self, "seconds", []), time.perf_counter() - start]


def describe_saving(epochs: int = 4) -> str:
    """Measures the time to save, against an epoch of CIFAR-10's size."""
    recipe = read_configuration().recipes["finetune"]
    recipe = recipe.model_copy(update={"epochs": epochs})
    prepare(gpus=1)
    precision = choose_precision("auto")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = _Timed(Path(folder, "state.npz"), "key")
        _, history = train_network(
            initial_parameters(0),
            random_images(45_000),
            random_images(1_000),
            recipe,
            RunContext(precision=precision, seed=0, checkpoint=checkpoint),
        )
        size = checkpoint.path.stat().st_size
    each = statistics.median(checkpoint.seconds)
    whole = (history[-1]["seconds"] - history[0]["seconds"]) / (epochs - 1)
    return (
        f"Saving a checkpoint ({size / 1e6:.0f} MB, with fsync) took "
        f"{1000 * each:.0f} ms (median of {epochs}). That is "
        f"{100 * each / whole:.2f} % of an epoch of 45,000 images, which took "
        f"{whole:.1f} s ({precision}).\n"
    )


def describe_mutants() -> str:
    """Counts what became of damaged weights files; a run that was stopped continues."""
    outcomes = fuzz(0, MUTANTS)
    broken = sum(outcome.result not in ALLOWED for outcome in outcomes)
    return (
        f"{MUTANTS:,} mutants of genuine weights files (`make fuzz`, seed 0), read by "
        "the scorer. Rules broken (a signal, hang or traceback that reaches the "
        "caller, more memory than the limit, a second reading that differs): "
        f"{broken}.\n\n{count(outcomes)}"
    )


def describe_variants() -> str:
    """Compares training in several ways, on CIFAR-10 if available, or on the digits."""
    what = "the small test configuration (digits, 4, 1 and 1 epochs, 297 test images)"
    config = None
    if os.environ.get("CIFAR10_ARCHIVE"):
        config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
        tiny = (ROOT / "tests/tiny_cifar10.yaml").read_text(encoding="utf-8")
        update_config(config, {**yaml.safe_load(tiny), "directory": "."})
        epochs = config["recipes"]["strong"]["epochs"]
        what = (
            f"`tests/tiny_cifar10.yaml` ({epochs}, 1 and 1 epochs, 10,000 test images)"
        )
    rows: list[list[str]] = []
    first: list[float] = []
    reference, largest = b"", 0.0
    for way, (changes, cores, environment) in VARIANTS.items():
        with tempfile.TemporaryDirectory() as name:
            project = copy_project(Path(name, "project"))
            path = project / "config.yaml"
            changed = copy.deepcopy(config) or yaml.safe_load(
                path.read_text(encoding="utf-8")
            )
            update_config(changed, {**changes, "run": ["lamp"]})
            varied = [name.format(*changed["seeds"]) for name in VARIED]
            path.write_text(yaml.safe_dump(changed), encoding="utf-8")
            run = snakemake(
                project, "--cores", str(cores), "--keep-going", **environment
            )
            weights = project / "results" / varied[-1] / "weights.h5"
            if not weights.exists():
                raise SystemExit(run.stdout)
            content = weights.read_bytes()
            reference = reference or content
            same = "yes" if content == reference else "no"
            accuracies = [
                read_json(project / f"results/{candidate}/score_test.json")["accuracy"]
                for candidate in varied
            ]
            first = first or accuracies
            largest = max(largest, *map(lambda a, b: abs(a - b), accuracies, first))
            rows.append([way, same, *(f"{value:.4f}" for value in accuracies)])
    header = ["run", "same bytes", "baseline", "round 1", "round 2"]
    return (
        f"Test accuracy of {what}; n = 1 each:\n\n{markdown_table(header, rows)}\n"
        f"Largest difference from the reference: {largest:.4f}.\n"
    )


def main() -> None:
    """Measures and writes, part by part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the kills' moments")
    parts = {
        "reruns": table,
        "refusals": describe_refusals,
        "kills": lambda: describe_kills(arguments.kills, arguments.seed),
        "disks": describe_full_disks,
        "mutants": describe_mutants,
        "saving": describe_saving,
        "variants": describe_variants,
    }
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    arguments: argparse.Namespace = parser.parse_args()
    about = machine.describe()
    provenance = (
        f"{about['cpu']}, {about['cores']} cores, {about['system']}, Python "
        f"{about['python']}, TensorFlow {about['tensorflow']}, commit {about['commit']}"
    )
    for name in arguments.only:
        content = parts[name]()
        if name != "reruns":
            content += f"\n({provenance})\n"
        page = replace_part(PAGE.read_text(encoding="utf-8"), name, content)
        with whole_file(PAGE) as file:
            file.write(page.encode())


if __name__ == "__main__":
    with checked_output():
        main()

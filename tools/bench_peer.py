"""Compares this project with TensorFlow Model Optimization on one budget, in one run.

Both train the fixed network on the same images with the same augmentation, for the same
number of epochs dense and while pruning, to the same sparsity. Both are scored on the
test set by the assignment's formula. Ours uses the default configuration's recipes
without a teacher, so that neither has help. The peer is `tools/peer.py`. The results
are also written to peer/scores.json, for `make results`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shears.data.dataset import read_split
from shears.evaluation.grading import GradedNetwork
from shears.model.architecture import SHAPES
from shears.model.parameters import Parameters
from shears.runtime import machine
from shears.runtime.errors import plain_errors
from shears.runtime.files import write_json
from shears.runtime.output import checked_output
from shears.runtime.paths import expand_of
from shears.weight_files.canonical import write_weights
from tools.configuration import read_configuration

ROOT = Path(__file__).resolve().parents[1]


def configuration(folder: Path, about: dict[str, Any], images: int) -> Path:
    """Writes the changes to config.yaml (JSON is YAML)."""
    path = folder / "budget.json"
    rounds = [{"sparsity": about["sparsity"], "epochs": about["prune_epochs"]}]
    changes = {
        "directory": str(folder),
        "seeds": [about["seed"]],
        "data": {"training_images": images},
        "recipes": {"strong": {"epochs": about["dense_epochs"]}},
        "baselines": {"dense": {"teacher": "none"}},
        "pruning": {"teacher": "none", "rounds": rounds},
        "run": ["lamp"],
        "optimizers": {"data_sets": []},
    }
    path.write_text(json.dumps(changes), encoding="utf-8")
    return path


def main() -> None:
    """Runs both and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--peer",
        type=partial(expand_of, "--peer"),
        required=True,
        help="the peer's Python",
    )
    parser.add_argument("--images", type=int, default=0, help="training images; 0: all")
    parser.add_argument("--dense-epochs", type=int, default=14)
    parser.add_argument("--prune-epochs", type=int, default=12)
    parser.add_argument("--sparsity", type=float, default=0.97)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each")
    budget = parser.parse_args()
    about_machine = machine.describe()
    print(f"{about_machine['cpu']}, {about_machine['cores']} cores")
    updates = read_configuration().pruning.update_count  # for the peer, too
    runs: dict[str, list[dict[str, Any]]] = {
        "Shears": [],
        "TensorFlow Model Optimization": [],
    }
    for seed in range(budget.seeds):
        about = {
            "dense_epochs": budget.dense_epochs,
            "prune_epochs": budget.prune_epochs,
            "sparsity": budget.sparsity,
            "update_count": updates,
            "seed": seed,
        }
        with tempfile.TemporaryDirectory() as folder:
            images = compare(Path(folder), about, budget.images, budget.peer, runs)
    write_json(
        ROOT / "peer/scores.json",
        {
            "machine": about_machine,
            "budget": f"{images:,} training images, {budget.dense_epochs} "
            f"epochs dense, {budget.prune_epochs} while pruning, no teacher",
            "runs": runs,
        },
    )


def compare(
    folder: Path,
    about: dict[str, Any],
    images: int,
    peer: str,
    runs: dict[str, list[dict[str, Any]]],
) -> int:
    """Runs both with one seed; prints a line for each and appends it to `runs`.

    Returns:
        How many images they were trained on.
    """
    start = time.perf_counter()
    weights = folder / f"results/lamp/seed_{about['seed']}/round_1/weights.h5"
    run = [sys.executable, "-m", "snakemake", "--cores", "all", "--quiet", "all"]
    run += ["--configfile", str(configuration(folder, about, images))]
    run += ["--", str(weights)]
    subprocess.run(run, cwd=ROOT, check=True)
    ours = time.perf_counter() - start
    dataset = folder / "results/dataset.h5"
    training, test = (read_split(dataset, name) for name in ("train", "test"))
    np.savez(folder / "images.npz", images=training.images, labels=training.labels)
    start = time.perf_counter()
    subprocess.run(
        [
            *(peer, str(ROOT / "tools/peer.py"), str(folder / "images.npz")),
            *(str(folder / "peer.npz"), json.dumps(about)),
        ],
        check=True,
    )
    theirs = time.perf_counter() - start
    with np.load(folder / "peer.npz") as file:
        arrays = [file[f"arr_{i}"] for i in range(len(SHAPES))]
    write_weights(folder / "peer.h5", Parameters.from_arrays(arrays))
    for name, path, seconds in zip(
        runs, (weights, folder / "peer.h5"), (ours, theirs), strict=True
    ):
        result, _ = GradedNetwork.from_file(path).score(test)
        runs[name].append(result | {"seconds": seconds})
        print(
            f"seed {about['seed']}  {name:30}  accuracy {result['accuracy']:.4f}  "
            f"sparsity {result['sparsity']:.4f}  score {result['score']:.4f}  "
            f"{seconds / 60:.1f} minutes",
            flush=True,
        )
    return len(training.labels)


if __name__ == "__main__":
    with plain_errors(), checked_output():
        main()

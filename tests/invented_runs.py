"""Runs that never ran: folders of results, finished, half finished and training."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shears.runtime.files import write_csv, write_json
from shears.runtime.job_record import write_record
from shears.weight_files.canonical import write_weights
from tests.conftest import make_parameters

IMAGES = 100


def score(correct: int, sparsity: float, images: int = IMAGES) -> dict:
    accuracy = correct / images
    zeros = round(1_250_858 * sparsity)
    return {
        "images": images,
        "correct": correct,
        "accuracy": accuracy,
        "zeros": zeros,
        "sparsity": sparsity,
        "score": (accuracy + sparsity) / 2 if accuracy > 0.65 else 0.0,
    }


def history(epochs: int, sparsity: float) -> list[dict[str, float]]:
    return [
        {
            "epoch": i + 1,
            "learning_rate": 0.1,
            "loss": 1 / (i + 1),
            "accuracy": 0.5,
            "validation_loss": 1.1 / (i + 1),
            "validation_accuracy": 0.6 + 0.01 * i,
            "sparsity": sparsity,
            "images_per_second": 1000.0,
            "seconds": 2.0 * (i + 1),
        }
        for i in range(epochs)
    ]


def begin(base: Path, name: str, inputs: Sequence[Path] = (), epochs: int = 4) -> Path:
    """Writes what a training job writes first: its record."""
    folder = base / "results" / name
    folder.mkdir(parents=True, exist_ok=True)
    file = "teacher.npz" if name == "teacher" else "weights.h5"
    settings = {"recipe": {"epochs": epochs}, "seed": 0}
    outputs = [str(folder / file)]
    write_record("prune_round", ["0" * 64, settings], map(str, inputs), outputs)
    return folder


def save_checkpoint(base: Path, name: str, rows: list[dict[str, float]]) -> Path:
    """Writes what a training job writes after each epoch."""
    path = base / "checkpoints" / f"{name}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {"key": "k", "history": rows, "finished": False, "arrays": ["x"]}
    np.savez(path, about=np.array(json.dumps(about)), x=np.zeros(1000, np.float32))
    return path


def finish(
    base: Path,
    name: str,
    correct: int,
    sparsity: float,
    *,
    inputs: Sequence[Path] = (),
    labels: Sequence[int] | None = None,
    scored: bool = True,
) -> Path:
    """Writes a candidate that classifies the first `correct` test images correctly."""
    folder = begin(base, name, inputs)
    write_weights(folder / "weights.h5", make_parameters(0, zeros=sparsity))
    write_csv(folder / "history.csv", history(4, sparsity))
    metrics = {"epochs": 4, "seconds": 8.0, "images_per_second": 1000.0}
    write_json(folder / "metrics.json", metrics)
    if scored:
        labels = list(labels or (i % 10 for i in range(IMAGES)))
        for split in ("validation", "test"):
            write_json(folder / f"score_{split}.json", score(correct, sparsity))
        rows = [
            {"label": label, "prediction": label if i < correct else (label + 1) % 10}
            for i, label in enumerate(labels)
        ]
        write_csv(folder / "predictions_test.csv", rows)
    return folder / "weights.h5"


def write_run(
    base: Path, correct: int = 90, config: dict | None = None, **more
) -> Path:
    """Writes a finished run of a baseline and two rounds; returns its results."""
    dense = finish(base, "dense/seed_0", 95, 0.0, **more)
    first = finish(base, "lamp/seed_0/round_1", correct, 0.8, inputs=[dense], **more)
    finish(base, "lamp/seed_0/round_2", correct - 1, 0.9, inputs=[first], **more)
    results = base / "results"
    write_json(results / "choice.json", {"candidate": "lamp/seed_0/round_2"})
    write_json(results / "configuration.json", config or {"seeds": [0]})
    (results / "report.html").write_text("<p>the report</p>", encoding="utf-8")
    return results

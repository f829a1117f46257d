"""A candidate's files: weights, history and metrics."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from shears.model.architecture import LAYERS, PARAMETERS
from shears.model.parameters import count_zeros
from shears.runtime import machine
from shears.runtime.files import write_csv, write_json
from shears.weight_files.canonical import write_weights


def save_candidate(
    trained: Sequence[np.ndarray],
    rows: Sequence[Mapping[str, float]],
    *,
    weights: str | Path,
    history: str | Path,
    metrics: str | Path,
    device: str,
    precision: str,
    seed: int,
) -> None:
    """Writes what a training stage made.

    Args:
        trained: The twelve arrays, float32.
        rows: The history, one row an epoch.
        weights: Weights file (`shears.weights`).
        history: CSV file.
        metrics: JSON file: epochs, seed, precision, time, zeros, densities, machine.
        device: What it ran on (`shears.runtime.device.prepare`).
        precision: What the forward and backward pass computed in.
        seed: The training's seed.
    """
    zeros = count_zeros(trained)
    # The first epoch holds the compilation, so it says little of speed.
    speeds = [row["images_per_second"] for row in rows[1:] or rows]
    write_weights(weights, trained)
    write_csv(history, rows)
    write_json(
        metrics,
        {
            "epochs": len(rows),
            "seed": seed,
            "device": device,
            "precision": precision,
            "seconds": rows[-1]["seconds"],
            "images_per_second": float(np.median(speeds)),
            "validation_accuracy": rows[-1]["validation_accuracy"],
            "zeros": zeros,
            "sparsity": zeros / PARAMETERS,
            "kernel_density": {
                layer.name: float(np.count_nonzero(kernel) / kernel.size)
                for layer, kernel in zip(LAYERS, trained[::2], strict=True)
            },
            "machine": machine.describe(),
        },
    )

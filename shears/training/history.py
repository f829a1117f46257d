"""The history and metrics of a training run."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from shears.runtime import machine
from shears.runtime.files import write_csv, write_json
from shears.training.run_context import RunContext

History = list[dict[str, float]]  # a row per epoch
#: Its columns, in order.
COLUMNS = (
    "epoch",
    "learning_rate",
    "loss",
    "accuracy",
    "validation_loss",
    "validation_accuracy",
    "sparsity",
    "images_per_second",
    "seconds",
)


def measure_training(history: History, context: RunContext) -> dict[str, Any]:
    """Summarises a training run: epochs, seed, device, precision, time, accuracy.

    Without validation images, validation_accuracy is None.
    """
    accuracy = history[-1]["validation_accuracy"]
    # The first epoch includes compilation, so it says little about speed.
    speeds = [row["images_per_second"] for row in history[1:] or history]
    return {
        "epochs": len(history),
        "seed": context.seed,
        "device": context.device,
        "precision": context.precision,
        "seconds": history[-1]["seconds"],
        "images_per_second": float(np.median(speeds)),
        "validation_accuracy": None if math.isnan(accuracy) else accuracy,
    }


def save_metrics(
    history_file: str | Path,
    metrics_file: str | Path,
    history: History,
    context: RunContext,
    details: Mapping[str, Any],
) -> None:
    """Writes the history and the metrics of a training run.

    Args:
        history_file: The CSV file.
        metrics_file: The JSON file.
        history: A row per epoch.
        context: How and where training ran.
        details: Further metrics.
    """
    write_csv(history_file, history)
    metrics = {**measure_training(history, context), **details}
    write_json(metrics_file, {**metrics, "machine": machine.describe()})

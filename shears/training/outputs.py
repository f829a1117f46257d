"""What a training or importing job writes: weights, history and metrics."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shears.model.architecture import LAYERS, PARAMETERS
from shears.model.parameters import Parameters
from shears.runtime import machine
from shears.runtime.errors import UserError
from shears.runtime.files import checksum, write_csv, write_json
from shears.training.history import COLUMNS, History, save_metrics
from shears.training.run_context import RunContext
from shears.weight_files.canonical import write_weights
from shears.weight_files.reader import WeightsFile


class TrainingFiles(NamedTuple):
    """The files of a candidate: weights (.h5), history (CSV) and metrics (JSON)."""

    weights: str | Path
    history: str | Path
    metrics: str | Path


def save_candidate(
    trained: Parameters,
    history: History,
    context: RunContext,
    files: TrainingFiles,
    *,
    expected_zeros: int | None = None,
) -> None:
    """Writes a candidate: its weights (without denormals), history and metrics.

    Args:
        trained: The parameters.
        history: A row per epoch.
        context: The run that the metrics describe.
        files: The files to write.
        expected_zeros: How many parameters must be zero, if that is known.

    Raises:
        UserError: Another number is zero, or a weight is NaN or infinite.
    """
    trained = trained.without_denormals()  # denormals become zeros, which count
    zeros = trained.count_zeros()
    if expected_zeros not in (None, zeros):
        raise UserError(
            f"{files.weights}: {zeros:,} weights are zero, expected exactly "
            f"{expected_zeros:,}: training changed the number of zeros; change the "
            "seed or the recipe"
        )
    write_weights(files.weights, trained)
    save_metrics(files.history, files.metrics, history, context, _count(trained))


def save_imported(
    contents: WeightsFile,
    source: str | Path,
    validation_accuracy: float,
    context: RunContext,
    files: TrainingFiles,
) -> None:
    """Writes a candidate that was not trained here; its history has no rows.

    Args:
        contents: What its file holds.
        source: The file, which the metrics name.
        validation_accuracy: Fraction of the validation images classified correctly.
        context: The run that the metrics describe.
        files: The files to write.
    """
    write_weights(files.weights, contents.parameters)
    write_csv(files.history, [], COLUMNS)
    write_json(
        files.metrics,
        {
            "imported": {
                "file": str(source),
                "sha256": checksum(source),
                "layout": contents.layout,
                "writer": contents.writer,
            },
            "epochs": 0,
            "seed": context.seed,
            "device": context.device,
            "precision": context.precision,
            "seconds": 0.0,
            "validation_accuracy": validation_accuracy,
            **_count(contents.parameters),
            "machine": machine.describe(),
        },
    )


def _count(parameters: Parameters) -> dict[str, Any]:
    """Counts zeros, in total and in each kernel."""
    zeros = parameters.count_zeros()
    return {
        "zeros": zeros,
        "sparsity": zeros / PARAMETERS,
        "kernel_density": {
            layer.name: float(np.count_nonzero(kernel) / kernel.size)
            for layer, kernel in zip(LAYERS, parameters.kernels, strict=True)
        },
    }

"""What a training job writes: weights, history and metrics."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from shears.model.architecture import LAYERS, PARAMETERS
from shears.model.parameters import Parameters
from shears.training.history import History, save_metrics
from shears.training.run_context import RunContext
from shears.weight_files.canonical import write_weights


class TrainingFiles(NamedTuple):
    """The files of a candidate: weights (.h5), history (CSV) and metrics (JSON)."""

    weights: str | Path
    history: str | Path
    metrics: str | Path


def save_candidate(
    trained: Parameters, history: History, context: RunContext, files: TrainingFiles
) -> None:
    """Writes a candidate: its weights, history and metrics."""
    zeros = trained.count_zeros()
    write_weights(files.weights, trained)
    details = {
        "zeros": zeros,
        "sparsity": zeros / PARAMETERS,
        "kernel_density": {
            layer.name: float(np.count_nonzero(kernel) / kernel.size)
            for layer, kernel in zip(LAYERS, trained.kernels, strict=True)
        },
    }
    save_metrics(files.history, files.metrics, history, context, details)

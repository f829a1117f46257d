"""What a training job writes: weights, history and metrics."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from shears.model.architecture import LAYERS, PARAMETERS
from shears.model.parameters import Parameters
from shears.runtime.errors import UserError
from shears.training.history import History, save_metrics
from shears.training.run_context import RunContext
from shears.weight_files.canonical import write_weights


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
    details = {
        "zeros": zeros,
        "sparsity": zeros / PARAMETERS,
        "kernel_density": {
            layer.name: float(np.count_nonzero(kernel) / kernel.size)
            for layer, kernel in zip(LAYERS, trained.kernels, strict=True)
        },
    }
    save_metrics(files.history, files.metrics, history, context, details)

import numpy as np
import pytest

from shears.model.parameters import Parameters, initial_parameters
from shears.runtime.errors import UserError
from shears.runtime.files import read_json
from shears.training.outputs import TrainingFiles, save_candidate
from shears.training.run_context import RunContext
from shears.weight_files.canonical import read_weights

CONTEXT = RunContext(precision="float32", seed=0)
DENORMAL = np.float32(1e-40)


@pytest.fixture
def files(tmp_path) -> TrainingFiles:
    names = ("weights.h5", "history.csv", "metrics.json")
    return TrainingFiles(*(tmp_path / name for name in names))


def trained() -> Parameters:
    """Parameters with 5 denormals in the first kernel, besides the biases' zeros."""
    vector = initial_parameters(0).vector.copy()
    vector[:5] = DENORMAL
    return Parameters(vector)


def history() -> list[dict[str, float]]:
    row = {"epoch": 1, "validation_accuracy": 0.5, "seconds": 1.0}
    return [{**row, "images_per_second": 1.0}]


def test_metrics_count_the_zeros_of_the_file(files):
    save_candidate(trained(), history(), CONTEXT, files)
    written, metrics = read_weights(files.weights), read_json(files.metrics)
    assert metrics["zeros"] == written.count_zeros() == trained().count_zeros() + 5
    assert metrics["kernel_density"]["conv2d"] == 1 - 5 / written.kernels[0].size


def test_another_number_of_zeros_is_refused_and_nothing_is_written(files):
    zeros = trained().count_zeros()
    with pytest.raises(
        UserError, match=f"{zeros + 5:,} weights are zero, .* {zeros:,}"
    ):
        save_candidate(trained(), history(), CONTEXT, files, expected_zeros=zeros)
    assert not list(files.weights.parent.iterdir())
    save_candidate(trained(), history(), CONTEXT, files, expected_zeros=zeros + 5)

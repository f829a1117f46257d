import numpy as np
import pytest

from shears.model.parameters import Parameters, initial_parameters
from shears.runtime.errors import UserError
from shears.runtime.files import checksum, read_csv, read_json
from shears.training.history import COLUMNS
from shears.training.outputs import TrainingFiles, save_candidate, save_imported
from shears.training.run_context import RunContext
from shears.weight_files.canonical import read_weights, write_weights
from shears.weight_files.reader import read_weights_file
from tests.conftest import make_parameters

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


def test_an_imported_candidate_says_where_it_is_from(files):
    source = files.weights.with_name("source.h5")
    parameters = make_parameters(0, zeros=0.5)
    write_weights(source, parameters)
    save_imported(read_weights_file(source), source, 0.75, CONTEXT, files)
    assert read_weights(files.weights).vector.tobytes() == parameters.vector.tobytes()
    assert files.history.read_text(encoding="utf-8") == ",".join(COLUMNS) + "\n"
    assert read_csv(files.history) == []
    metrics = read_json(files.metrics)
    assert metrics["imported"] == {
        "file": str(source),
        "sha256": checksum(source),
        "layout": "Keras 2 weights",
        "writer": "2.3.0-tf",
    }
    assert (metrics["epochs"], metrics["validation_accuracy"]) == (0, 0.75)
    assert metrics["zeros"] == parameters.count_zeros()
    assert metrics["kernel_density"].keys() == {
        *("conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "dense", "dense_1")
    }

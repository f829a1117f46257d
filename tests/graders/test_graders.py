"""The packaged file in genuine TensorFlow versions. `make test-graders`."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from shears.weight_files.canonical import read_weights, write_weights
from tests import ROOT
from tests.conftest import make_parameters
from tests.graders.environments import GRADERS, install


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    """Writes a weights file and images; adds the reference run's weights file."""
    folder = tmp_path_factory.mktemp("graders")
    write_weights(folder / "written.h5", make_parameters(0, zeros=0.98))
    files = [folder / "written.h5", *ROOT.glob("reference/my_model_weights.h5")]
    images = np.random.default_rng(0).random((16, 32, 32, 3)).astype(np.float32)
    np.save(folder / "images.npy", images)
    return folder, files


def load(name: str, file: Path, folder: Path) -> dict[str, np.ndarray]:
    """Loads a file with a grader; returns its weights and outputs."""
    python, environment = install(name)
    target = folder / f"{name}.npz"
    command = [python, "tests/graders/load.py", file, folder / "images.npy", target]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    with np.load(target) as outputs:
        return dict(outputs)


@pytest.mark.parametrize("name", GRADERS)
def test_both_ways_of_loading_give_every_bit_and_the_same_predictions(
    submissions, name
):
    folder, files = submissions
    for file in files:
        expected = load("keras", file, folder)["load_weights"]
        actual = load(name, file, folder)
        for way in ("load_weights", "load_model"):
            for i, array in enumerate(read_weights(file).arrays):
                assert actual[f"{way}_{i:02}"].tobytes() == array.tobytes()
            # Versions sum in different orders, so outputs are equal up to rounding.
            np.testing.assert_allclose(actual[way], expected, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(actual[way].argmax(1), expected.argmax(1))

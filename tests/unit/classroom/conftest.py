"""A grader for small data, laid out as on Gradescope."""

import json
from pathlib import Path

import numpy as np
import pytest

from shears.classroom.part_b import IMAGES
from shears.data.dataset import Split
from shears.data.packed_images import pack
from shears.model.architecture import PARAMETERS
from shears.model.parameters import Parameters

COUNT = 20


def constant_network(label: int, zeros: int) -> Parameters:
    """A network that always predicts one class and has so many zeros."""
    vector = np.zeros(PARAMETERS, np.float32)
    parameters = Parameters(vector)
    vector[: PARAMETERS - 10 - zeros] = -1
    parameters.biases[-2][:] = -1e9  # the hidden units are silent
    parameters.biases[-1][label] = 1
    return parameters


@pytest.fixture
def root(tmp_path) -> Path:
    """The folder that is /autograder on Gradescope; three of four images are cats."""
    root = tmp_path / "autograder"
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 32, 32, 3), np.uint8)
    labels = np.where(np.arange(COUNT) % 4, 3, 5).astype(np.uint8)
    (root / "source" / IMAGES).write_bytes(pack(Split(images, labels)))
    settings = json.dumps({"points": {"b": 100}})
    (root / "source/settings.json").write_text(settings, encoding="utf-8")
    return root

"""The reference run's submission, kept in reference/, is what docs/results.md says."""

import json
import os
from pathlib import Path

import pytest

from shears.data.cifar10 import read_archive
from shears.evaluation.grading import score_weights
from shears.evaluation.score import score
from shears.model.parameters import count_zeros
from shears.runtime.files import checksum
from shears.weight_files.reader import read_keras_file, who_loads

ROOT = Path(__file__).parents[2]
FILE = ROOT / "reference/my_model_weights.h5"
ARCHIVE = os.environ.get("CIFAR10_ARCHIVE")


@pytest.fixture(scope="module")
def manifest():
    return json.loads((ROOT / "reference/manifest.json").read_text())


def test_it_is_the_file_that_was_handed_in(manifest):
    assert checksum(FILE) == manifest["sha256"]
    assert FILE.stat().st_size == manifest["bytes"] < 400_000
    found = read_keras_file(FILE)
    assert count_zeros(found.weights) == manifest["zeros"]
    assert all(len(ways) == 2 for ways in who_loads(found, FILE).values())
    expected = score(manifest["test"]["accuracy"], manifest["zeros"])
    assert manifest["test"]["score"] == pytest.approx(expected, abs=1e-12)


def test_the_results_page_is_about_it(manifest):
    page = (ROOT / "docs/results.md").read_text()
    assert manifest["sha256"] in page
    assert f"**score {manifest['test']['score']:.4f}**" in page


@pytest.mark.skipif(not ARCHIVE, reason="no CIFAR10_ARCHIVE")
def test_it_scores_what_it_did(manifest):
    found, _ = score_weights(read_keras_file(FILE).weights, read_archive(ARCHIVE)[1])
    # Another processor rounds otherwise, which may turn an image or two.
    assert found["accuracy"] == pytest.approx(manifest["test"]["accuracy"], abs=5e-4)

"""The reference run's submission, kept in reference/, is what docs/results.md says."""

import json
import os
from pathlib import Path

import pytest

from shears.data.cifar10 import read_archive
from shears.evaluation.grading import GradedNetwork
from shears.evaluation.score import score
from shears.runtime.files import checksum
from shears.runtime.paths import expand
from shears.weight_files.reader import loaders, read_weights_file

ROOT = Path(__file__).parents[2]
FILE = ROOT / "reference/my_model_weights.h5"
ARCHIVE = os.environ.get("CIFAR10_ARCHIVE")


@pytest.fixture(scope="module")
def manifest():
    return json.loads((ROOT / "reference/manifest.json").read_text(encoding="utf-8"))


def test_it_is_the_file_of_its_manifest(manifest):
    assert checksum(FILE) == manifest["sha256"]
    assert FILE.stat().st_size == manifest["bytes"] < 400_000
    contents = read_weights_file(FILE)
    assert contents.parameters.count_zeros() == manifest["zeros"]
    assert all(len(ways) == 2 for ways in loaders(contents, FILE).values())
    expected = score(manifest["test"]["accuracy"], manifest["zeros"])
    assert manifest["test"]["score"] == pytest.approx(expected, abs=1e-12)


def test_the_results_page_is_about_it(manifest):
    page = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    assert manifest["sha256"] in page
    assert f"**score {manifest['test']['score']:.4f}**" in page


@pytest.mark.skipif(not ARCHIVE, reason="no CIFAR10_ARCHIVE")
def test_it_scores_what_it_did(manifest):
    network = GradedNetwork.from_parameters(read_weights_file(FILE).parameters)
    scored, _ = network.score(read_archive(expand(ARCHIVE))[1])
    # Another processor rounds differently, which may change an image or two.
    assert scored["accuracy"] == pytest.approx(manifest["test"]["accuracy"], abs=5e-4)

"""A file of ours, which tests copy before they spoil it."""

import pytest

from shears.weight_files.canonical import write_weights
from tests.conftest import make_parameters


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.h5"
    write_weights(path, make_parameters(0, zeros=0.9))
    return path

import numpy as np
import pytest

from shears.data.dataset import Split
from shears.evaluation.grading import BATCH, GradedNetwork
from shears.evaluation.score import score
from shears.model.architecture import PARAMETERS
from shears.model.forward import logits
from shears.weight_files.canonical import write_weights
from tests.conftest import make_parameters, refused

WEIGHTS = make_parameters(0, zeros=0.5)


def make_split(count: int) -> Split:
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Split(images, rng.integers(0, 10, count, dtype=np.uint8))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("grading") / "weights.h5"
    write_weights(path, WEIGHTS)
    return path


def test_a_file_and_its_parameters_have_the_same_score(file):
    networks = (GradedNetwork.from_file(file), GradedNetwork.from_parameters(WEIGHTS))
    for count in (7, BATCH + 7):  # the network is loaded once for all splits
        (one, first), (other, second) = (n.score(make_split(count)) for n in networks)
        assert one == other
        np.testing.assert_array_equal(first, second)


def test_the_score_is_counted_from_the_predictions(file):
    split = make_split(BATCH + 7)
    scored, predictions = GradedNetwork.from_file(file).score(split)
    assert predictions.dtype == np.uint8
    images = split.images.astype(np.float32) / 255
    expected = logits(WEIGHTS.vector, images).numpy().argmax(1)
    np.testing.assert_array_equal(predictions, expected)
    correct, zeros = int((expected == split.labels).sum()), WEIGHTS.count_zeros()
    assert scored == {
        "images": len(split.labels),
        "correct": correct,
        "accuracy": correct / len(split.labels),
        "zeros": zeros,
        "parameters": PARAMETERS,
        "sparsity": zeros / PARAMETERS,
        "score": score(correct / len(split.labels), zeros),
    }


def test_a_network_that_is_always_right_has_its_score(file):
    split = make_split(20)
    network = GradedNetwork.from_file(file)
    _, predictions = network.score(split)
    scored, _ = network.score(split._replace(labels=predictions))
    assert scored["accuracy"] == 1
    assert scored["score"] == (1 + WEIGHTS.count_zeros() / PARAMETERS) / 2


def test_a_damaged_file_is_not_scored(file, tmp_path):
    path = tmp_path / "bad.h5"
    path.write_bytes(file.read_bytes()[:-1])
    with refused(path, "damaged"):
        GradedNetwork.from_file(path)

import numpy as np
import pytest

from shears.classroom import part_b
from shears.classroom.part_b import ACCEPTED, ACCURATE, IMAGES, NAME, SCORE, grade
from shears.evaluation.score import score
from shears.model.architecture import PARAMETERS
from shears.runtime.errors import UserError
from shears.weight_files.canonical import write_weights
from tests.unit.classroom.conftest import COUNT, constant_network

CAT, DOG = 3, 5


def grade_in(root, **options):
    return grade(root / "submission", root / "source", 100, **options)


def outcomes(graded) -> dict[str, tuple[bool, float]]:
    return {test.name: (test.passed, test.points) for test in graded.tests}


def test_a_good_file_gets_the_scores_points_and_stands_on_the_leaderboard(root):
    network = constant_network(CAT, 1_000_000)
    write_weights(root / "submission" / NAME, network)
    graded = grade_in(root)
    expected = score(0.75, network.count_zeros())
    assert outcomes(graded) == {
        ACCEPTED: (True, 0),
        ACCURATE: (True, 0),
        SCORE: (True, 100 * expected),
    }
    assert graded.leaderboard == {
        "Score": expected,
        "Accuracy": 0.75,
        "Sparsity": network.count_zeros() / PARAMETERS,
    }
    assert f"15 of {COUNT} images" in graded.tests[1].output
    assert f"= {expected:.6f}" in graded.tests[2].output


def test_an_accuracy_that_is_too_low_gets_nothing(root):
    write_weights(root / "submission" / NAME, constant_network(DOG, 1_000_000))
    graded = grade_in(root)
    assert outcomes(graded)[SCORE] == (False, 0)
    assert graded.leaderboard["Score"] == 0
    assert "not above 0.65" in graded.tests[2].output


def test_no_file_is_said_plainly(root):
    graded = grade_in(root)
    assert outcomes(graded) == {ACCEPTED: (False, 0), SCORE: (False, 0)}
    assert graded.tests[0].output.startswith(f"found no {NAME} in your upload")
    assert not graded.leaderboard


def test_a_refused_file_is_named_without_the_graders_folder(root):
    (root / "submission/hw5").mkdir()
    (root / "submission/hw5/net\x1b.h5").write_bytes(b"no weights")
    (test, _) = grade_in(root).tests
    assert test.output.startswith(r"hw5/net\x1b.h5: not readable as HDF5")
    assert str(root) not in test.output


@pytest.mark.slow
def test_a_network_that_takes_too_long_is_stopped_and_says_so(root):
    write_weights(root / "submission" / NAME, constant_network(CAT, 0))
    graded = grade_in(root, seconds=-1)
    assert outcomes(graded) == {ACCEPTED: (True, 0), SCORE: (False, 0)}
    assert "took more than" in graded.tests[1].output


def test_damaged_test_images_are_no_fault_of_the_student(root):
    write_weights(root / "submission" / NAME, constant_network(CAT, 0))
    (root / "source" / IMAGES).write_bytes(b"0" * 100)
    with pytest.raises(UserError, match=f"{IMAGES}: found no packed images"):
        grade_in(root)


def test_the_labels_are_compared_with_the_predictions(root, monkeypatch):
    write_weights(root / "submission" / NAME, constant_network(CAT, 0))
    monkeypatch.setattr(
        part_b, "predictions", lambda outputs: np.full(len(outputs), DOG)
    )
    assert grade_in(root).leaderboard["Accuracy"] == 0.25

import json

import jsonschema
import pytest

from shears.classroom import part_b, run_autograder
from shears.classroom.gradescope_results import Graded, Test
from shears.classroom.run_autograder import FAILED, SETTINGS, STOPPED, check, run
from shears.runtime.errors import UserError
from shears.weight_files.canonical import write_weights
from tests.unit.classroom.conftest import constant_network
from tests.unit.classroom.test_gradescope_results import SCHEMA


def results(root) -> dict:
    path = root / "results/results.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(content, SCHEMA)
    assert [p.name for p in path.parent.iterdir()] == ["results.json"]
    return content


def test_the_results_are_written_in_the_documented_form(root):
    write_weights(root / "submission/my_model_weights.h5", constant_network(3, 10))
    run(root)
    content = results(root)
    assert 37 < content["score"] < 38
    assert {entry["name"] for entry in content["leaderboard"]} == {
        "Score",
        "Accuracy",
        "Sparsity",
    }


@pytest.mark.parametrize("error", [RuntimeError("bug"), MemoryError(), UserError("x")])
def test_a_fault_of_the_grader_is_not_the_students(root, monkeypatch, capsys, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(part_b, "grade", fail)
    run(root)
    (test,) = results(root)["tests"]
    assert (test["score"], test["max_score"], test["output"]) == (0, 100, FAILED)
    assert type(error).__name__ in capsys.readouterr().err


def test_a_part_that_was_not_reached_says_so_and_the_other_keeps_its_points(
    root, monkeypatch
):
    settings = json.dumps({"points": {"a": 40, "b": 100}})
    (root / "source" / SETTINGS).write_text(settings, encoding="utf-8")

    def grade_part(part, *_):
        if part == "a":
            raise KeyboardInterrupt  # as a kill
        return Graded([Test("Part B", True, 90, 100)])

    monkeypatch.setattr(run_autograder, "grade_part", grade_part)
    with pytest.raises(KeyboardInterrupt):
        run(root)
    content = results(root)
    assert content["score"] == 90
    assert [test["output"] for test in content["tests"]] == [STOPPED, ""]
    assert [test["max_score"] for test in content["tests"]] == [40, 100]


def test_a_link_in_place_of_the_results_is_replaced(root, tmp_path):
    (tmp_path / "precious").write_bytes(b"")
    (root / "results/results.json").symlink_to(tmp_path / "precious")
    run(root)
    assert results(root)["score"] == 0
    assert (tmp_path / "precious").read_bytes() == b""


def test_the_check_finds_damaged_images(root):
    check(root / "source")
    (root / "source" / part_b.IMAGES).write_bytes(b"")
    with pytest.raises(UserError, match=part_b.IMAGES):
        check(root / "source")

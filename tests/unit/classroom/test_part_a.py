import pytest

from shears.classroom import part_a
from shears.classroom.part_a import LIMITS, NAME, grade
from shears.optimizer_study.grading import GradedNotebook, GradedTest
from shears.runtime.errors import UserError


@pytest.fixture
def graded(monkeypatch):
    """Returns the paths and limits that notebooks are graded with."""
    calls = []

    def grade_notebook(path, limits):
        calls.append((path, limits))
        if path.read_bytes() == b"bad":
            raise UserError(f"{path}: not a notebook")
        tests = [
            GradedTest("test_GD", 5, 5, None),
            GradedTest("test_Adam", 0, 15, "AssertionError: b is wrong"),
        ]
        return GradedNotebook(tests, ["cell test_GD: it was edited"])

    monkeypatch.setattr(part_a, "grade_notebook", grade_notebook)
    return calls


def test_each_test_has_its_points_and_its_problem(root, graded, capsys):
    path = root / "submission/hw5" / NAME
    path.parent.mkdir()
    path.write_bytes(b"")
    result = grade(root / "submission", root / "source", 40)
    assert [(test.name, test.passed, test.points) for test in result.tests] == [
        ("Part A: test_GD", True, 5),
        ("Part A: test_Adam", False, 0),
    ]
    assert [test.output for test in result.tests] == [
        "passed",
        "AssertionError: b is wrong",
    ]
    assert not result.leaderboard
    assert graded == [(path, LIMITS)]
    assert capsys.readouterr().out == "cell test_GD: it was edited\n"


@pytest.mark.parametrize(
    "content, message", [(None, f"found no {NAME}"), (b"bad", "mine.ipynb: not a")]
)
def test_no_notebook_or_a_bad_one_gets_nothing_and_says_why(
    root, graded, content, message
):
    if content:
        (root / "submission/mine.ipynb").write_bytes(content)
    (test,) = grade(root / "submission", root / "source", 40).tests
    assert (test.points, test.possible, test.passed) == (0, 40, False)
    assert test.output.startswith(message)


def test_the_check_reads_our_own_solution(monkeypatch, root):
    part_a.check(root / "source")
    monkeypatch.setattr(part_a, "our_functions", lambda: open("/nowhere", "rb"))
    with pytest.raises(OSError):
        part_a.check(root / "source")

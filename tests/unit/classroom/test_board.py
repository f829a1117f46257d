import json
import string
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.classroom import board as boards
from shears.classroom.board import make_board, rank, read_last
from shears.classroom.scoring import Scored
from shears.classroom.submissions import Student
from shears.classroom.uploads import Upload
from shears.runtime.errors import UserError
from shears.runtime.files import write_json

TIME = datetime(2026, 11, 28, 23, 59, 0, 5, UTC)


def scored(score: float, weights: str = "", mask: str | None = None, **more) -> Scored:
    return Scored(
        f"sha of {weights or score}",
        7,
        images=100,
        correct=88,
        accuracy=0.88,
        zeros=5,
        sparsity=0.5,
        score=score,
        weights=weights or f"{score} {more}",
        mask=mask,
    )


def class_of(**files: Scored | str) -> tuple[list[Student], dict[Path, Scored]]:
    """Students by name, each with a file or a reason why there is none."""
    students, known = [], {}
    for name, one in files.items():
        if isinstance(one, str):
            upload = Upload(TIME, problem=one)
        else:
            path = Path("class", name, "w.h5")
            upload = Upload(TIME, path, f"{name}/w.h5")
            known[path] = one
        students.append(Student(f"{name}@school", name, (upload,)))
    return students, known


def column(board: dict, key: str) -> dict:
    return {row["name"]: row[key] for row in board["students"]}


def test_a_board_has_what_the_page_shows():
    students, known = class_of(Bob=scored(0.9), Ada="no file", Cid=scored(0.95))
    known[Path("class/Cid/w.h5")] = Scored("abc", 9, "no HDF5\n\x1b[31m")
    board = make_board(students, known, images=100)
    assert {key: board[key] for key in ("images", "least_accuracy", "anonymous")} == {
        "images": 100,
        "least_accuracy": 0.65,
        "anonymous": False,
    }
    assert datetime.fromisoformat(board["made"]).tzinfo
    bob, ada, cid = board["students"]
    assert bob == {
        "name": "Bob",
        "rank": 1,
        "score": 0.9,
        "accuracy": 0.88,
        "correct": 88,
        "zeros": 5,
        "sparsity": 0.5,
        "time": "2026-11-28T23:59:00Z",
        "file": "Bob/w.h5",
        "bytes": 7,
        "sha256": "sha of 0.9",
        "refused": None,
        "change": {"score": None, "rank": None, "new": False},
        "uploads": [
            {
                "time": "2026-11-28T23:59:00Z",
                "score": 0.9,
                "accuracy": 0.88,
                "sparsity": 0.5,
                "refused": None,
            }
        ],
        "same_weights": [],
        "same_mask": [],
    }
    assert (ada["name"], ada["rank"], ada["score"], ada["refused"]) == (
        "Ada",
        None,
        None,
        "no file",
    )
    assert (ada["sha256"], ada["bytes"], ada["file"]) == (None, None, None)
    assert (cid["name"], cid["bytes"], cid["refused"]) == (
        "Cid",
        9,
        "no HDF5 \\x1b[31m",
    )


def test_ties_share_a_rank():
    assert rank([0.9, 0.8 + 5e-10, 0.8, 0.7]) == [1, 2, 2, 4]
    assert rank([]) == []
    students, known = class_of(d=scored(0), b=scored(0.5), c=scored(0.5), a=scored(1))
    assert column(make_board(students, known, images=1), "rank") == {
        "a": 1,
        "b": 2,
        "c": 2,
        "d": 4,
    }


@given(st.lists(st.integers(0, 6) | st.none(), max_size=12), st.randoms())
def test_a_rank_is_one_more_than_the_number_of_better_ones(scores, random):
    names = string.ascii_letters[: len(scores)]
    files = {
        name: "refused" if score is None else scored(score / 6)
        for name, score in zip(names, scores, strict=True)
    }
    students, known = class_of(**files)
    random.shuffle(students)
    board = make_board(students, known, images=1)
    values = [row["score"] for row in board["students"]]
    numbers = [value for value in values if value is not None]
    assert values == sorted(numbers, reverse=True) + [None] * scores.count(None)
    for row in board["students"]:
        better = sum(value > row["score"] for value in numbers) if row["rank"] else None
        assert row["rank"] == (None if better is None else better + 1)
    assert json.loads(json.dumps(board)) == board


def test_the_last_upload_counts_and_the_others_are_history():
    first, second = (Path("class/ada", name) for name in "ab")
    uploads = (
        Upload(None, problem="its file is not in the export"),
        Upload(TIME, first, "a"),
        Upload(TIME, second, "b"),
    )
    known = {first: scored(0.9), second: scored(0.8)}
    students = [Student("x", "Ada", uploads), Student("y", "Bob", uploads, "two times")]
    ada, bob = make_board(students, known, images=1)["students"]
    assert (ada["score"], ada["file"], ada["rank"]) == (0.8, "b", 1)
    assert [one["score"] for one in ada["uploads"]] == [None, 0.9, 0.8]
    assert ada["uploads"][0]["refused"] == "its file is not in the export"
    assert (bob["score"], bob["file"], bob["rank"]) == (None, None, None)
    assert (bob["refused"], bob["sha256"], bob["time"]) == ("two times", None, None)
    assert ada["same_weights"] == []


def test_changes_are_counted_from_the_last_board(tmp_path):
    students, known = class_of(a=scored(0.9), b=scored(0.8), c=scored(0.7), d="x")
    path = tmp_path / "leaderboard.json"
    write_json(path, make_board(students, known, images=10))
    last = read_last(path, images=10, anonymous=False)
    students, known = class_of(
        a=scored(0.9), c=scored(0.95), b="refused", d=scored(0.5), e=scored(0.1)
    )
    assert column(make_board(students, known, images=10, last=last), "change") == {
        "a": {"score": 0, "rank": -1, "new": False},
        "b": {"score": None, "rank": None, "new": False},
        "c": {"score": pytest.approx(0.25), "rank": 2, "new": False},
        "d": {"score": None, "rank": None, "new": False},
        "e": {"score": None, "rank": None, "new": True},
    }
    for other in ({"images": 9, "anonymous": False}, {"images": 10, "anonymous": True}):
        with pytest.raises(UserError, match="other test images or other names"):
            read_last(path, **other)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"students": 5, "images": 1, "anonymous": false}',
        b'{"students": [5], "images": 1, "anonymous": false}',
        b'{"students": [{"name": 5, "score": 1, "rank": 1}], "images": 1, '
        b'"anonymous": false}',
        b'{"students": [{"name": "a", "score": "b", "rank": 1}], "images": 1, '
        b'"anonymous": false}',
    ],
)
def test_what_is_no_board_is_refused(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=str(tmp_path)):
        read_last(tmp_path / "a.json", images=1, anonymous=False)


def test_copies_are_pointed_out():
    students, known = class_of(
        a=scored(0.9, "w1", "m1"),
        b=scored(0.9, "w1", "m1"),
        c=scored(0.8, "w2", "m1"),
        d=scored(0.7, "w3", None),
        e=scored(0.7, "w4", None),
        f="refused",
    )
    board = make_board(students, known, images=1)
    assert column(board, "same_weights") == {
        "a": ["b"],
        "b": ["a"],
        "c": [],
        "d": [],
        "e": [],
        "f": [],
    }
    assert column(board, "same_mask") == {
        "a": ["c"],
        "b": ["c"],
        "c": ["a", "b"],
        "d": [],
        "e": [],
        "f": [],
    }


def test_hints_do_not_tell_the_order_of_the_real_names():
    files = {name: scored(0.9, "w") for name in "abcd"}
    students, known = class_of(**files, e=scored(0.9, "v", "m"))
    pseudonyms = {
        s.identity: s.name.translate(str.maketrans("abcde", "QZARX")) for s in students
    }
    board = make_board(students, known, images=1, pseudonyms=pseudonyms)
    assert column(board, "same_weights")["Q"] == ["A", "R", "Z"]


def test_hints_in_a_large_group_stay_small():
    files = {f"s{n}": scored(0.9, f"w{n % 2}", "m") for n in range(3000)}
    students, known = class_of(**files)
    board = make_board(students, known, images=1)
    for row in board["students"]:
        assert len(row["same_weights"]) == len(row["same_mask"]) == boards.MOST_HINTS
        assert row["name"] not in row["same_weights"] + row["same_mask"]


@given(
    st.dictionaries(
        st.text(string.ascii_letters, min_size=4),
        st.integers(0, 3) | st.text(string.digits, min_size=1),
        max_size=8,
    )
)
def test_an_anonymous_board_names_nobody(files):
    made = {
        name: f"no {one}" if isinstance(one, str) else scored(one / 3, f"w{one}", "m")
        for name, one in files.items()
    }
    students, known = class_of(**made)
    pseudonyms = {s.identity: f"#{n}" for n, s in enumerate(students)}
    board = make_board(students, known, images=1, pseudonyms=pseudonyms)
    assert board["anonymous"]
    assert {row["name"] for row in board["students"]} == {*pseudonyms.values()}
    for row in board["students"]:
        assert row["file"] is None and row["sha256"] is None
    text = json.dumps(board["students"])
    for key in board["students"][0] if board["students"] else ():
        text = text.replace(f'"{key}"', "")
    for student in students:
        assert f'"{student.name}' not in text and student.identity not in text
    assert "sha of" not in text and "w.h5" not in text

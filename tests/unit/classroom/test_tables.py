import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.classroom.board import make_board
from shears.classroom.submissions import Student
from shears.classroom.tables import FORMULA, harmless, write_table
from shears.classroom.uploads import Upload
from shears.runtime.errors import printable

NASTY = [*FORMULA, "'", " ", '"', ",", "\n", "a", "1"]
TEXTS = st.text(st.sampled_from("".join(NASTY)) | st.characters()) | st.text()


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@a", "\ta", "\ra", "' =1", "＝1"]
)
def test_a_formula_gets_an_apostrophe(text):
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "Ada", "1-1", "O'Neill", "'a'", "a=b"])
def test_other_text_stays(text):
    assert harmless(text) == text


@given(TEXTS, TEXTS)
def test_texts_stay_different(one, other):
    assert (harmless(one) == harmless(other)) == (one == other)


@given(st.lists(TEXTS, unique=True, min_size=1, max_size=4), TEXTS)
def test_any_name_survives_the_table_and_none_is_a_formula(
    tmp_path_factory, names, reason
):
    path = tmp_path_factory.mktemp("table") / "a.csv"
    upload = Upload(problem=reason)
    students = [Student(name, name, (upload,)) for name in names]
    board = make_board(students, {}, images=1)
    write_table(path, board)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert len(rows) == len(names)
    for row, student in zip(rows, board["students"], strict=True):
        assert not any(cell.startswith(FORMULA) for cell in row.values())
        name = printable(student["name"])
        assert row["name"] == harmless(name)
        assert row["name"] in (name, f"'{name}")
        assert (row["rank"], row["score"], row["uploads"]) == ("", "", "1")

import csv
import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.classroom.pseudonyms import (
    FIRST,
    KEY,
    SECOND,
    TABLE,
    choose_names,
    give_pseudonyms,
)
from shears.classroom.submissions import Student
from shears.classroom.uploads import Upload
from tests.conftest import refused


def students(*names: str) -> list[Student]:
    return [Student(f"{name}@school", name, (Upload(),)) for name in names]


def test_the_lists_have_enough_different_words():
    assert len({*FIRST}) == len({*SECOND}) == 64


def test_pseudonyms_stay_the_same_and_tell_nothing(tmp_path):
    first = give_pseudonyms(students("Ada", "=Bob", "Cid"), tmp_path)
    assert len({*first.values()}) == 3
    assert (
        give_pseudonyms(students("Ada"), tmp_path)["Ada@school"]
        == (first["Ada@school"])
    )
    # Who was gone comes back, and a newcomer changes nobody's.
    again = give_pseudonyms(students("Cid", "Dan", "Ada", "=Bob"), tmp_path)
    assert {key: again[key] for key in first} == first
    other = give_pseudonyms(students("Ada", "=Bob", "Cid"), tmp_path / "other")
    assert other != first
    (tmp_path / TABLE).unlink()
    assert give_pseudonyms(students("Ada", "=Bob", "Cid"), tmp_path) == first


def test_the_teacher_alone_can_tell_whose_they_are(tmp_path):
    given = give_pseudonyms(students("Ada", "=Bob", "Z\udcff"), tmp_path)
    for name in (KEY, TABLE):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    with (tmp_path / TABLE).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["Ada", "'=Bob", r"Z\udcff"]
    assert [row["pseudonym"] for row in rows] == list(given.values())


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64, b"0" * 65])
def test_a_key_that_is_none_is_not_replaced(tmp_path, content):
    (tmp_path / KEY).write_bytes(content)
    with refused(tmp_path / KEY, "found no key of 64 hexadecimal digits: put back"):
        give_pseudonyms(students("Ada"), tmp_path)
    assert (tmp_path / KEY).read_bytes() == content


def test_a_table_that_is_none_changes_nothing(tmp_path):
    first = give_pseudonyms(students("Ada"), tmp_path)
    for content in (b"\xff\x00", b"a,b\n1,2\n", b'pseudonym,digest\n"x,y\n', b""):
        (tmp_path / TABLE).write_bytes(content)
        assert give_pseudonyms(students("Ada"), tmp_path) == first


DIGESTS = st.lists(
    # Few names, so that many are equal.
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 10**9)).map(
        lambda t: f"{t[0]:08x}{t[1]:08x}{t[2]:048x}"
    ),
    unique=True,
    max_size=12,
)


@given(DIGESTS, DIGESTS)
def test_equal_names_are_numbered_and_kept(before, after):
    known = choose_names(before, {})
    assert len({*known.values()}) == len(before)
    names = choose_names(after, known)
    assert names.keys() == {*before, *after}
    assert len({*names.values()}) == len(names)
    assert {digest: names[digest] for digest in before} == known


def test_a_newcomer_of_an_equal_name_changes_nobodys(tmp_path, monkeypatch):
    monkeypatch.setattr("shears.classroom.pseudonyms.FIRST", ["Brave"])
    monkeypatch.setattr("shears.classroom.pseudonyms.SECOND", ["Otter"])
    class_ = [f"student {number}" for number in range(12)]
    known: dict[str, str] = {}
    for size in range(1, 13):
        names = give_pseudonyms(students(*class_[:size]), tmp_path)
        assert {identity: names[identity] for identity in known} == known
        known = names
    assert {"Brave Otter", "Brave Otter 12"} <= {*known.values()}

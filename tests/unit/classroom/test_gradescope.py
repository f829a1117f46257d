from datetime import UTC, datetime, timedelta, timezone

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shears.classroom import gradescope
from shears.classroom.gradescope import Submitter, parse_time, read_metadata
from shears.runtime.errors import UserError
from tests.conftest import refused

# As Gradescope writes it, with more than is read.
GENUINE = """---
submission_46283839:
  :submitters:
  - :name: Ada Lovelace
    :sid: '0123'
    :email: Ada@school.edu
  :created_at: 2020-04-21 20:17:41.871414000 Z
  :score: 20.0
  :status: processed
  :results:
    tests:
    - name: 1) test (a)
      output: |
        line: [1
        - &x *y
  :history:
  - :id: 46283820
    :created_at: &1 2020-04-20 20:17:41.000000000 Z
    :score: 10.0
    :results: {}
  - :created_at: *1
submission_2:
  :submitters:
  - :name: ~
    :sid: 7
    :email:
  - :name: Bob
  :created_at: 2020-04-21
"""


def write(tmp_path, text: str | bytes):
    path = tmp_path / "submission_metadata.yml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_an_export_is_read(tmp_path):
    first, second = read_metadata(write(tmp_path, GENUINE))
    assert first.folder == "submission_46283839" and first.problem is None
    assert first.submitters == (Submitter("Ada Lovelace", "0123", "Ada@school.edu"),)
    assert first.submitters[0].identity == "ada@school.edu"
    assert first.time == datetime(2020, 4, 21, 20, 17, 41, 871414, UTC)
    earlier = datetime(2020, 4, 20, 20, 17, 41, 0, UTC)
    assert first.history == (("submission_46283820", earlier), (None, earlier))
    assert [one.identity for one in second.submitters] == ["7", "Bob"]
    assert second.time is None  # a day is no time


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("[1, 2]", "its entry in submission_metadata.yml is no mapping"),
        ("", "its entry in submission_metadata.yml is no mapping"),
        ("{submitters: []}", "does not say whose it is"),
        ("{submitters: 5}", "does not say whose it is"),
        ("{submitters: [5, {name: {a: b}}]}", "does not say whose it is"),
        ("{created_at: 2020-01-01 00:00:00 Z}", "does not say whose it is"),
        ("{}\nsubmission_1: {}", "it has two entries in submission_metadata.yml"),
    ],
)
def test_an_entry_that_says_nothing_usable_has_a_problem(tmp_path, entry, problem):
    (read,) = read_metadata(write(tmp_path, f"submission_1: {entry}\n"))
    assert read.folder == "submission_1"
    assert problem in read.problem


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "found no mapping"),
        ("- a", "found no mapping"),
        ("text", "found no mapping"),
        ("a: {b: [", "line 2: did not find expected node content"),
        ("a: *b", "line 1: found an alias without its anchor"),
        (b"\xff\xfe\x00", "not a text file in UTF-8"),
        ("a: \0", "not a text file in UTF-8"),
        ("a: " + "[" * 100_000, "line 1: found more than 50 levels"),
        ("a: [" + "1," * 1001 + "]", "line 1: found more than 1,000 values"),
        ("a: 1\n" * 5000, "found 25,000 bytes, expected at most 20,000"),
    ],
)
def test_metadata_that_cannot_be_read_is_refused_in_one_line(
    tmp_path, monkeypatch, content, message
):
    monkeypatch.setattr(gradescope, "MOST_VALUES", 1000)
    if message.startswith("found 25"):
        monkeypatch.setattr(gradescope, "MOST_BYTES", 20_000)
    path = write(tmp_path, content)
    with refused(path, message):
        read_metadata(path)


def test_aliases_unpack_to_nothing(tmp_path):
    lines = ["a0: &a0 [1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 40)]
    lines += ["b: &b {submitters: *a39, history: *b, c: *b}"]
    entries = read_metadata(write(tmp_path, "\n".join(lines)))
    assert all(entry.problem for entry in entries)


@pytest.mark.parametrize("make", ["link", "folder", "none"])
def test_metadata_that_is_no_file_is_refused(tmp_path, make):
    path = tmp_path / "submission_metadata.yml"
    if make == "link":
        write(tmp_path, GENUINE).rename(tmp_path / "other")
        path.symlink_to(tmp_path / "other")
    elif make == "folder":
        path.mkdir()
    with pytest.raises(UserError, match=str(path)):
        read_metadata(path)


@given(
    st.datetimes(datetime(1950, 1, 2), datetime(2900, 1, 1)),
    st.integers(-14 * 60, 14 * 60),
)
def test_times_are_read_in_any_zone(moment, minutes):
    zone = timezone(timedelta(minutes=minutes))
    moment = moment.replace(tzinfo=zone)
    assert parse_time(moment.isoformat()) == moment
    assert parse_time(yaml.safe_dump({"a": moment})[3:]) == moment
    ruby = f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}000 Z"
    assert parse_time(ruby) == moment


@given(st.text() | st.none() | st.integers())
def test_what_is_no_time_is_none(text):
    assert parse_time(text) is None or isinstance(text, str)


@pytest.mark.parametrize("text", ["2020-13-01 00:00:00 Z", "9999-12-31 23:59:59 -14"])
def test_an_impossible_time_is_none(text):
    assert parse_time(text) is None

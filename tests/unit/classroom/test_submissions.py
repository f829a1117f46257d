import os
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from shears.classroom.submissions import find_students, listing
from tests.conftest import refused
from tests.unit.classroom.test_uploads import put

START = datetime(2026, 11, 20)


def names(folder: Path) -> dict[str, str | None]:
    """Each student's file or the reason why there is none."""
    return {
        one.name: one.problem or one.uploads[-1].file or one.uploads[-1].problem
        for one in find_students(folder).students
    }


def entry(name: str, hours: float | None = 0, **more) -> dict:
    """An entry of the metadata."""
    about = {":submitters": [{":name": name, ":email": f"{name.lower()}@school.edu"}]}
    if hours is not None:
        about[":created_at"] = START + timedelta(hours=hours)
    return about | {":score": 1.0, ":status": "processed"} | more


def export(folder: Path, entries: dict, folders=None) -> Path:
    """Writes Gradescope's export, with a weights file in each folder."""
    for name in entries if folders is None else folders:
        put(folder / name / "my_model_weights.h5")
    text = yaml.safe_dump(entries, sort_keys=False)
    put(folder / "submission_metadata.yml", text.encode())
    return folder


def test_a_folder_or_a_file_per_student_is_a_class(tmp_path):
    put(tmp_path / "Ada Lovelace/my_model_weights.h5")
    put(tmp_path / "bob.weights.h5")
    put(tmp_path / "carol/a.h5")
    put(tmp_path / "carol/b.h5")
    put(tmp_path / "dan/notebook.ipynb")
    put(tmp_path / "eve.pt")
    put(tmp_path / "eve2.zip")
    put(tmp_path / "grades.csv")
    put(tmp_path / ".DS_Store")
    put(tmp_path / "__MACOSX/w.h5")
    (tmp_path / "fred").symlink_to("/etc")
    (tmp_path / "gina.h5").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / "hal.h5")
    found = names(tmp_path)
    nothing = "found no weights file (.h5, .hdf5 or .keras)"
    assert found == {
        "Ada Lovelace": "Ada Lovelace/my_model_weights.h5",
        "bob": "bob.weights.h5",
        "carol": "found 2 weights files, none named my_model_weights.h5: which one "
        "counts is not known",
        "dan": nothing,
        "eve": nothing,
        "eve2": nothing,
        "fred": "found a link, which is not followed",
        "gina": "its weights file is a link, which is not followed",
        "hal": "found a FIFO, expected a file",
    }
    assert find_students(tmp_path).notes == ["passed over: grades.csv"]


def test_the_names_that_moodle_and_canvas_give_are_read(tmp_path):
    put(tmp_path / "Ada Lovelace_12345_assignsubmission_file_my_model_weights.h5")
    put(tmp_path / "Ada Lovelace_12345_assignsubmission_file_notes.h5")
    put(tmp_path / "Bob B_17_assignsubmission_file_/w.h5")
    put(tmp_path / "Bob B_17_assignsubmission_onlinetext_/onlinetext.html")
    put(tmp_path / "Cat C_18_assignsubmission_file/w.h5")
    put(tmp_path / "Cat C_18_assignsubmission_onlinetext/onlinetext.html")
    put(tmp_path / "doejane_LATE_123_456_my_model_weights.h5")
    put(tmp_path / "doejane_123_457_assignment_notebook.ipynb")
    put(tmp_path / "roe_789_555_w-1.keras")
    put(tmp_path / "jane_doe.h5")
    assert names(tmp_path) == {
        "Ada Lovelace": "Ada Lovelace_12345_assignsubmission_file_my_model_weights.h5",
        "Bob B": "Bob B_17_assignsubmission_file_/w.h5",
        "Cat C": "Cat C_18_assignsubmission_file/w.h5",
        "doejane": "doejane_LATE_123_456_my_model_weights.h5",
        "jane_doe": "jane_doe.h5",
        "roe": "roe_789_555_w-1.keras",
    }


def test_the_names_that_canvas_gives_to_anonymous_students_are_read(tmp_path):
    put(tmp_path / "anon_pv8Ts_98765_my_model_weights.h5")
    put(tmp_path / "anon_pv8Ts_98766_assignment_notebook.ipynb")
    put(tmp_path / "LATE_anon_x1y2Z_98767_w.keras")
    put(tmp_path / "anon_12345_98768_w.keras")
    assert names(tmp_path) == {
        "anon_12345": "anon_12345_98768_w.keras",
        "anon_pv8Ts": "anon_pv8Ts_98765_my_model_weights.h5",
        "anon_x1y2Z": "LATE_anon_x1y2Z_98767_w.keras",
    }


def test_students_of_the_same_name_are_told_apart(tmp_path):
    put(tmp_path / "Ada_12_assignsubmission_file_a.h5")
    put(tmp_path / "Ada_13_assignsubmission_file_a.h5")
    assert list(names(tmp_path)) == ["Ada (Ada 12)", "Ada (Ada 13)"]


def test_a_name_is_the_same_on_every_system_and_cannot_control_a_terminal(tmp_path):
    put(tmp_path / "Ame\u0301lie\x1b[31m\n/w.h5")
    put(tmp_path.joinpath(os.fsdecode(b"\xffbob"), "w.h5"))
    assert set(names(tmp_path)) == {"Am\xe9lie\\x1b[31m", "\\udcffbob"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder.rmdir(), "No such file or directory; expected a folder"),
        (lambda folder: None, "found nothing in it, expected a folder or file per"),
        (lambda folder: put(folder / ".DS_Store"), "found nothing in it"),
        (lambda folder: put(folder / "ada/a.txt"), "found no weights file (.h5,"),
        (lambda folder: put(folder / "a.csv"), "found no weights file (.h5,"),
        (lambda folder: put(folder / "export.zip"), "found only export.zip: unzip it"),
        (
            lambda folder: export(folder, {"submission_1": entry("Ada")}, []),
            "found no weights file",
        ),
    ],
)
def test_a_folder_without_a_class_is_refused_in_one_line(tmp_path, make, message):
    folder = tmp_path / "class"
    folder.mkdir()
    make(folder)
    with refused(folder, message):
        find_students(folder)


def test_a_file_is_refused_in_one_line(tmp_path):
    with refused(path := put(tmp_path / "a.zip"), "found an archive: unzip it"):
        find_students(path)
    with refused(path := put(tmp_path / "a.h5"), "Not a directory; expected a folder"):
        find_students(path)


def test_a_class_may_be_one_folder_down(tmp_path):
    export(tmp_path / "assignment_1_export", {"submission_1": entry("Ada")})
    put(tmp_path / "assignment_1_export.zip")
    (tmp_path / "assignment_1_export.zip").unlink()
    assert names(tmp_path) == {
        "Ada": "submission_1/my_model_weights.h5",
    }
    put(tmp_path / "plain/export/ada/w.h5")
    put(tmp_path / "plain/export/bob/w.h5")
    assert list(names(tmp_path / "plain")) == ["ada", "bob"]
    put(tmp_path / "single/ada/my/w.h5")
    assert list(names(tmp_path / "single")) == ["ada"]


def test_the_results_are_no_student(tmp_path):
    put(tmp_path / "ada/w.h5")
    put(tmp_path / "leaderboard/w.h5")
    found = find_students(tmp_path, tmp_path / "leaderboard").students
    assert [one.name for one in found] == ["ada"]


def test_the_last_upload_of_an_export_counts(tmp_path):
    history = [
        {":created_at": START, ":id": 1},
        {":created_at": START - timedelta(hours=1)},
        {":created_at": START + timedelta(hours=9), ":id": 99},
    ]
    entries = {
        "submission_1": entry("Ada", 0),
        "submission_3": entry("Ada", 2, **{":history": history}),
        "submission_2": entry("Ada", 1),
        "submission_4": entry("Bob", 1, **{":history": [{":id": 0}, 5]}),
    }
    folders = [*entries, "submission_0"]
    found = find_students(export(tmp_path, entries, folders))
    ada, bob = found.students
    assert [(upload.file, upload.problem) for upload in ada.uploads] == [
        (None, "its file is not in the export"),
        ("submission_1/my_model_weights.h5", None),
        ("submission_2/my_model_weights.h5", None),
        (None, "its file is not in the export"),  # later, but not to be had
        ("submission_3/my_model_weights.h5", None),
    ]
    assert ada.uploads[-1].time.isoformat() == "2026-11-20T02:00:00+00:00"
    assert (ada.identity, ada.problem) == ("ada@school.edu", None)
    assert "has no time for one of 2 uploads" in bob.problem


def test_a_group_is_one_row(tmp_path):
    two = [{":name": "Bob", ":sid": 2}, {":name": "Ada", ":email": "ADA@school.edu"}]
    entries = {
        "submission_1": {":submitters": two, ":created_at": START},
        "submission_2": {
            ":submitters": two[::-1],
            ":created_at": START + timedelta(days=1),
        },
    }
    (group,) = find_students(export(tmp_path, entries)).students
    assert (group.name, group.identity) == ("Bob, Ada", "2 & ada@school.edu")
    assert len(group.uploads) == 2


def test_nobody_vanishes_if_metadata_and_folders_disagree(tmp_path):
    entries = {
        "submission_1": entry("Ada"),
        "submission_2": entry("Bob"),  # without folder
        "submission_3": {":submitters": []},
        "submission_4": entry("Dan", None),
        "submission_6": entry("Eve", 0),
        "submission_7": entry("Eve", 0),
        "submission_8": entry("Fay", None),
        "submission_9": entry("Fay", 1),
        "../secret": entry("Gus"),
        "submission_10": 17,
    }
    folders = {*entries, "submission_5"} - {"submission_2", "../secret"}
    put(tmp_path / "secret/w.h5")
    folder = export(tmp_path / "class", entries, folders)
    found = names(folder)
    missing = "submission_metadata.yml names a folder of it that is not there"
    assert found == {
        "Ada": "submission_1/my_model_weights.h5",
        "Bob": missing,
        "Dan": "submission_4/my_model_weights.h5",
        "Eve": "submission_metadata.yml has two uploads of the same time: which one "
        "counts is not known",
        "Fay": "submission_metadata.yml has no time for one of 2 uploads: which one "
        "counts is not known",
        "Gus": missing,
        "submission_3": "submission_metadata.yml does not say whose it is",
        "submission_5": "submission_metadata.yml has no entry for its folder",
        "submission_10": "its entry in submission_metadata.yml is no mapping of keys",
    }
    notes = find_students(folder).notes
    assert [note.partition(":")[0] for note in notes] == [
        "submission_3",
        "submission_10",
        "submission_5",
    ]


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=6))
def test_the_latest_of_any_times_counts(tmp_path_factory, hours):
    folder = tmp_path_factory.mktemp("class")
    entries = {f"submission_{n}": entry("Ada", hour) for n, hour in enumerate(hours)}
    (ada,) = find_students(export(folder, entries)).students
    assert len(ada.uploads) == len(hours)
    times = [upload.time for upload in ada.uploads]
    assert times == sorted(times)
    assert bool(ada.problem) == (hours.count(max(hours)) > 1)
    if not ada.problem:
        last = f"submission_{hours.index(max(hours))}/my_model_weights.h5"
        assert ada.uploads[-1].file == last


FILE_NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1
).filter(lambda name: not name.startswith(".") and len(name.encode()) < 200)


@given(st.sets(FILE_NAMES, min_size=1, max_size=5))
def test_nobody_vanishes_whatever_the_names(tmp_path_factory, folders):
    root = tmp_path_factory.mktemp("class")
    for name in folders:
        put(root / name / "w.h5")
    found = find_students(root).students
    assert len({one.name for one in found}) == len(found)
    assert all(one.name.isprintable() for one in found)
    files = sum(upload.path is not None for one in found for upload in one.uploads)
    merged = sum("weights files" in (one.uploads[0].problem or "") for one in found)
    assert files + merged == len(found)  # only equal names share a row


def test_a_listing_changes_with_the_files_and_nothing_else(tmp_path):
    put(tmp_path / "ada/a/w.h5")
    put(tmp_path / "b\n{x}'\".h5")
    first = listing(tmp_path)
    put(tmp_path / "ada/.DS_Store")
    put(tmp_path / "leaderboard/leaderboard.json")
    assert listing(tmp_path, tmp_path / "leaderboard") == first
    os.utime(tmp_path / "ada/a")
    seen = {first}
    put(tmp_path / "ada/a/w.h5", b"other")
    seen.add(listing(tmp_path))
    os.utime(tmp_path / "ada/a/w.h5", (1, 1))
    seen.add(listing(tmp_path))
    put(tmp_path / "new/w.h5")
    seen.add(listing(tmp_path))
    (tmp_path / "ada/a/w.h5").rename(tmp_path / "ada/w.h5")
    seen.add(listing(tmp_path))
    assert len(seen) == 5
    with refused(tmp_path / "none", "No such file or directory; expected a folder"):
        listing(tmp_path / "none")

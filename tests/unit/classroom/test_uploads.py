import os
from pathlib import Path

import pytest

from shears.classroom import submitted_file, uploads
from shears.classroom.submitted_file import visible
from shears.classroom.uploads import MOST_BYTES, PREFERRED, look


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def look_at(root: Path, name: str = "ada") -> uploads.Upload:
    places = [(entry.name, entry) for entry in visible(root) if entry.name == name]
    return look(root, places, None)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["w.h5"], "w.h5"),
        (["a/b/w.KERAS", "a/notes.txt"], "a/b/w.KERAS"),
        (["other.h5", "x/my_model_weights.h5"], "x/my_model_weights.h5"),
        (["my_model_weights.h5", ".hidden.h5", "__MACOSX/w.h5"], PREFERRED),
        (["a.hdf5", ".DS_Store"], "a.hdf5"),
        ([PREFERRED, f"old/{PREFERRED}"], PREFERRED),
        ([PREFERRED, *(f"venv/{n}/lib/{n}.py" for n in range(12))], PREFERRED),
        (["1/2/3/4/5/w.h5"], "1/2/3/4/5/w.h5"),
    ],
)
def test_the_weights_file_is_found(tmp_path, monkeypatch, files, expected):
    monkeypatch.setattr(submitted_file, "MOST_FILES", 20)
    for name in files:
        put(tmp_path / "ada" / name)
    upload = look_at(tmp_path)
    assert upload.problem is None
    assert upload.path == tmp_path / "ada" / expected
    assert upload.file == f"ada/{expected}"


def no_file(folder: Path) -> None:
    put(folder / "notes.txt")


def two(folder: Path) -> None:
    put(folder / "a.h5")
    put(folder / "b.h5")


def two_preferred(folder: Path) -> None:
    put(folder / "new" / PREFERRED)
    put(folder / "old" / PREFERRED)


def link_out(folder: Path) -> None:
    put(folder.parent / "secret")
    (folder / "w.h5").symlink_to(folder.parent / "secret")


def linked_folder(folder: Path) -> None:
    put(folder.parent / "other/w.h5")
    (folder / "more").symlink_to(folder.parent / "other")


def circle(folder: Path) -> None:
    (folder / "more").symlink_to(folder)


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "w.h5")


def huge(folder: Path) -> None:
    with (folder / "w.h5").open("wb") as file:
        file.truncate(MOST_BYTES + 1)


def crowd(folder: Path) -> None:
    for number in range(20):
        put(folder / str(number))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (no_file, "found no weights file (.h5, .hdf5 or .keras)"),
        (two, "found 2 weights files, none named my_model_weights.h5: which one"),
        (two_preferred, "found 2 weights files named my_model_weights.h5: which one"),
        (link_out, "its weights file is a link, which is not followed"),
        (linked_folder, "found no weights file"),
        (circle, "found no weights file"),
        (fifo, "found a FIFO, expected a file"),
        (huge, "its weights file has 67,108,865 bytes, expected at most 67,108,864"),
        (crowd, "found more than 10 files"),
    ],
)
def test_what_cannot_be_scored_has_a_reason_without_names(
    tmp_path, monkeypatch, make, problem
):
    monkeypatch.setattr(submitted_file, "MOST_FILES", 10)
    folder = tmp_path / "ada"
    folder.mkdir()
    make(folder)
    upload = look_at(tmp_path)
    assert upload.path is None and upload.file is None
    assert upload.problem.startswith(problem)
    assert "ada" not in upload.problem and "\n" not in upload.problem


def test_a_link_in_place_of_a_students_folder_is_not_followed(tmp_path):
    put(tmp_path / "elsewhere/w.h5")
    (tmp_path / "class").mkdir()
    (tmp_path / "class/ada").symlink_to(tmp_path / "elsewhere")
    assert look_at(tmp_path / "class").problem.startswith("found a link, which is not")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_or_folder_that_may_not_be_read_has_a_reason(tmp_path):
    put(tmp_path / "ada/w.h5").chmod(0)
    assert "cannot be read: Permission denied" in look_at(tmp_path).problem
    (tmp_path / "ada").chmod(0)
    try:
        assert "cannot be read: Permission denied" in look_at(tmp_path).problem
    finally:
        (tmp_path / "ada").chmod(0o700)


def test_what_fails_to_open_has_a_reason(tmp_path, monkeypatch):
    put(tmp_path / "ada/w.h5")

    def fail(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(uploads, "open_regular", fail)
    assert look_at(tmp_path).problem == (
        "its weights file cannot be read: Permission denied"
    )
    monkeypatch.setattr(submitted_file, "visible", fail)
    places = [(entry.name, entry) for entry in os.scandir(tmp_path)]
    problem = look(tmp_path, places, None).problem
    assert problem == "its folder cannot be read: Permission denied"

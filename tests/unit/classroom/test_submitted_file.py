import os

import pytest

from shears.classroom import submitted_file
from shears.classroom.submitted_file import find_file
from shears.runtime.errors import UserError

NAME, SUFFIXES = "my_model_weights.h5", (".h5", ".hdf5", ".keras")


def put(folder, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


@pytest.mark.parametrize(
    "names, found",
    [
        ([NAME], NAME),
        (["best.keras", "notes.txt"], "best.keras"),
        ([NAME, "other.h5", f"old/{NAME}"], NAME),
        ([f"hw5/{NAME}", "other.h5"], f"hw5/{NAME}"),
        (["hw5/net.hdf5", "__MACOSX/._net.hdf5", ".git/a.h5"], "hw5/net.hdf5"),
        ([f"hw5/{NAME}", f"hw5/old/{NAME}", f"a/b/c/d/{NAME}"], f"hw5/{NAME}"),
        (["a/b/c/d/e/f/My_Weights.H5"], "a/b/c/d/e/f/My_Weights.H5"),
    ],
)
def test_the_assignments_name_comes_first_then_the_only_fitting_file(
    tmp_path, names, found
):
    put(tmp_path, *names)
    assert find_file(tmp_path, NAME, SUFFIXES) == tmp_path / found


@pytest.mark.parametrize(
    "names, message",
    [
        ([], f"found no {NAME} in your upload"),
        (["weights.txt"], f"found no {NAME} in your upload"),
        (["a.h5", "b/\x1b.h5"], r"found 2 files \(a.h5, b/\\x1b.h5\), expected one"),
        ([f"a/{NAME}", f"b/{NAME}"], "found 2 files"),
    ],
)
def test_no_file_or_several_are_refused_in_one_line(tmp_path, names, message):
    put(tmp_path, *names)
    with pytest.raises(UserError, match=message) as caught:
        find_file(tmp_path, NAME, SUFFIXES)
    assert str(caught.value).isprintable()


def test_links_pipes_and_folders_are_passed_over(tmp_path):
    secret = tmp_path / "secret.h5"
    secret.write_bytes(b"the grader's")
    upload = tmp_path / "upload"
    upload.mkdir()
    (upload / NAME).symlink_to(secret)
    (upload / "linked").symlink_to(tmp_path)
    os.mkfifo(upload / "pipe.h5")
    (upload / "folder.h5").mkdir()
    with pytest.raises(UserError, match="found no my_model"):
        find_file(upload, NAME, SUFFIXES)


def test_an_upload_of_thousands_of_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(submitted_file, "MOST_FILES", 5)
    put(tmp_path, *(f"{n}/{n}.txt" for n in range(6)))
    with pytest.raises(UserError, match="more than 5 files, expected your file alone"):
        find_file(tmp_path, NAME, SUFFIXES)
    put(tmp_path, NAME)
    assert find_file(tmp_path, NAME, SUFFIXES) == tmp_path / NAME


def test_a_folder_that_is_missing_is_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file or directory"):
        find_file(tmp_path / "missing", NAME, SUFFIXES)

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shears.runtime.errors import UserError
from shears.runtime.paths import check_file, expand, expand_of, tidy
from tests import ROOT


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("PLACE", "/place")
    monkeypatch.setenv("MINE", "~/mine")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("NONE", raising=False)


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("", ""),
        ("a/b", "a/b"),
        ("~", "/home/me"),
        ("~/a", "/home/me/a"),
        ("~root/a", f"{os.path.expanduser('~root')}/a"),
        ("a/~/b~", "a/~/b~"),  # only at the start, as in a shell
        ("$PLACE/a", "/place/a"),
        ("${PLACE}s/a$PLACE", "/places/a/place"),
        ("$MINE/a", "/home/me/mine/a"),
        ("a$", "a$"),
        ("a$-b", "a$-b"),
    ],
)
def test_home_folders_and_variables_are_expanded(given, path):
    assert expand(given) == path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("$NONE/a", "found $NONE/a, but the environment variable NONE is not set"),
        ("a/${NONE}", "found a/${NONE}, but the environment variable NONE is not set"),
        ("$PLACE$NONE", "the environment variable NONE is not set"),
        ("$EMPTY/a", "the environment variable EMPTY is empty"),
        ("${}/a", "the environment variable"),
        ("~shears_none/a", "the home folder of ~shears_none is not known"),
    ],
)
def test_what_is_not_set_is_refused(given, message):
    with pytest.raises(UserError) as caught:
        expand_of("--data", given)
    assert str(caught.value).startswith("--data: found ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tidy_path_leads_to_the_same_place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("real/sub").mkdir(parents=True)
    Path("link").symlink_to("real/sub")
    for given in (".//a/./b", "a/../b", "real/sub/../x", "../out", "/a//b", "."):
        assert tidy(given) == Path(os.path.normpath(given))
    assert tidy("link/../x.h5") == tmp_path.resolve() / "real/x.h5"


def test_a_file_whose_name_looks_like_a_variable_is_found(tmp_path):
    """As in a list of files that a shell has expanded."""
    (tmp_path / "Ke$ha.h5").touch()
    assert expand("Ke$ha.h5") == "Ke$ha.h5"
    # A folder is not: a run may have made it, before the variable was understood.
    (tmp_path / "$NONE").mkdir()
    with pytest.raises(UserError, match="NONE is not set"):
        expand("$NONE")
    (tmp_path / "$PLACE").touch()
    assert expand("$PLACE") == "/place"


@pytest.mark.parametrize(
    ("make", "actual"),
    [
        (lambda path: None, "no file"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.symlink_to(path), "no file"),
    ],
)
def test_a_file_that_is_not_there_is_named_with_its_key(tmp_path, make, actual):
    path = tmp_path / "a.h5"
    make(path)
    with pytest.raises(UserError, match=f"key: found {actual} at {path}, expected a k"):
        check_file("key", path, "a kind")


def test_a_file_in_a_closed_folder_is_not_called_missing(tmp_path, monkeypatch):
    def closed(path, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "stat", closed)
    with pytest.raises(UserError, match="key: found Permission denied at a.h5"):
        check_file("key", Path("a.h5"), "a kind")


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["bench_peer --peer", "search --run"])
def test_the_tools_follow_the_same_rule(tool):
    name, option = tool.split()
    command = [sys.executable, "-m", f"tools.{name}", option, "$NONE/a"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].startswith(f"error: {option}: found $NONE/a, ")
    assert "Traceback" not in ran.stderr

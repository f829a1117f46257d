import json
import subprocess
import sys

import pytest

from shears import notebook_cli
from shears.cli import main
from tests import ROOT
from tests.unit.optimizer_study.course import course_notebook, write
from tests.unit.optimizer_study.test_check import leave_out_numbers, quick

FILL = ("notebook", "fill")
CHECK = ("notebook", "check")


@pytest.mark.slow
def test_fill_writes_the_filled_notebook_and_prints_each_tests_result(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "theirs.ipynb")
    before = (tmp_path / "theirs.ipynb").read_bytes()
    assert main([*FILL, "theirs.ipynb", "--output", "filled.ipynb"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "test_LR_MSE   passed    5 of  5",
        "test_GD       passed    5 of  5",
        "test_SGD      passed    5 of  5",
        "test_AdaGrad  passed   10 of 10",
        "test_Adam     passed   15 of 15",
        "points                 40 of 40",
        "written to filled.ipynb",
    ]
    assert (tmp_path / "theirs.ipynb").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "filled.ipynb",
        "theirs.ipynb",
    ]
    assert main([*FILL, "filled.ipynb", "--output", "again.ipynb"]) == 2
    assert "--replace" in capsys.readouterr().err


def test_check_prints_points_and_what_is_wrong(tmp_path, capsys, monkeypatch):
    leave_out_numbers(monkeypatch)
    path = write(tmp_path / "a.ipynb", quick(SGD="SGD = 2\n1 / 0"))
    assert main([*CHECK, str(path)]) == 1
    output = capsys.readouterr().out
    assert "test_SGD      failed    0 of  5  AssertionError" in output
    assert "points                 35 of 40" in output
    assert "error: cell SGD: ZeroDivisionError: division by zero" in output
    assert "problem: cell LR_MSE: found none, expected one class Linear" in output
    assert main([*CHECK, str(path), "--json"]) == 1
    about = json.loads(capsys.readouterr().out)
    # Only what does not stand is said, and that is not always the same.
    assert all("note: " + note in output for note in about["notes"])
    assert (about["passed"], about["points"], about["possible"]) == (False, 35, 40)


def test_a_limit_can_be_set(tmp_path, capsys):
    path = write(tmp_path / "a.ipynb", quick(LR_MSE="import time\ntime.sleep(600)"))
    assert main([*CHECK, str(path), "--seconds", "1"]) == 1
    assert "the run was stopped: it took longer than 1 s" in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main([*CHECK, str(path), "--memory", "0"])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "found no key nbformat, expected a Jupyter notebook"),
        (b'{"nbformat": 5}', "found notebook format 5, expected 4"),
        (b'{"nbformat": 4, "cells": []}', "found no graded cells"),
    ],
)
def test_a_refused_notebook_gives_a_line_and_exit_code_2(
    tmp_path, capsys, content, message
):
    path = tmp_path / "a.ipynb"
    path.write_bytes(content)
    for command in (FILL, CHECK):
        output = tmp_path / "out.ipynb"
        extra = ("--output", str(output)) if command is FILL else ()
        assert main([*command, str(path), *extra]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"refused: {path}: ") and message in error
        assert error.count("\n") == 1
        assert not output.exists()


def test_fill_does_not_overwrite_the_notebook_that_it_reads(tmp_path, capsys):
    path = write(tmp_path / "a.ipynb")
    assert main([*FILL, str(path), "--output", str(tmp_path / "." / "a.ipynb")]) == 2
    assert "is the notebook itself; give another one" in capsys.readouterr().err
    assert json.loads(path.read_text(encoding="utf-8")) == course_notebook()


def test_a_folder_that_cannot_be_written_is_said_in_a_line(
    tmp_path, capsys, monkeypatch
):
    path = write(tmp_path / "a.ipynb")
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr("shears.optimizer_study.check.run", lambda *_: ([], []))
    assert main([*FILL, str(path), "--output", str(tmp_path / "file/b.ipynb")]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path}/file") and error.count("\n") == 1


def test_a_missing_package_is_named_in_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(notebook_cli, "PACKAGES", ("no_such_package",))
    path = write(tmp_path / "a.ipynb")
    assert main([*CHECK, str(path)]) == 1
    assert (
        capsys.readouterr().err
        == "error: the package no_such_package is missing, which running a notebook "
        "needs; in a checkout of Shears: pip install '.[notebook]'\n"
    )


def test_refusing_a_file_imports_nothing_that_runs_notebooks(tmp_path):
    code = (
        "import sys; from shears.cli import main\n"
        f"main(['notebook', 'check', {str(tmp_path / 'none.ipynb')!r}])\n"
        "assert not {'nbclient', 'tensorflow', 'nbformat'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize("output", [".", "/", "..", "x" * 300])
def test_an_output_that_is_no_file_is_refused_before_the_run(
    tmp_path, capsys, monkeypatch, output
):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.ipynb")
    assert main([*FILL, str(path), "--output", output]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a.ipynb"]

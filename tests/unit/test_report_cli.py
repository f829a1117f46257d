import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from shears import report_cli
from shears.cli import main
from tests import ROOT
from tests.invented_runs import write_run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", correct=80)
    return tmp_path


def test_two_runs_are_written_to_a_page(folder, capsys):
    (folder / "b/results/choice.json").unlink()
    assert main(["report", "a/results", "b", "--output", "c.html"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "b: Nothing is chosen yet: the run is not finished.",
        "written    c.html",
    ]
    assert "</html>" in (folder / "c.html").read_text(encoding="utf-8")
    assert main(["report", "a", "b", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["page"] == "comparison.html" and len(about["gaps"]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["report", "a"], "error: runs: found one, expected two or more"),
        (["report", "a", "none"], "error: none: found no such folder, expected"),
        (["report", "a", "empty"], "error: empty: found no results of a run in it"),
        (["report", "a", "b", "--output", "a"], "error: a: Is a directory"),
        (["open", "empty"], "error: empty: found no results of a run in it"),
        (["watch", "empty"], "error: empty: found no folder results in it"),
    ],
)
def test_a_wrong_argument_is_one_line(folder, capsys, arguments, message):
    (folder / "empty").mkdir()
    before = sorted(folder.rglob("*"))
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(message)
    assert sorted(folder.rglob("*")) == before  # no part of a page


def test_the_page_is_opened_where_there_is_a_display(folder, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr(report_cli.webbrowser, "open", lambda a: not opened.append(a))
    monkeypatch.setattr(report_cli.sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    assert main(["open", "a"]) == 0
    assert opened == [(folder / "a/results/report.html").as_uri()]
    assert capsys.readouterr().out == "a/results/report.html\n"
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert main(["open", "a"]) == 0
    assert len(opened) == 1  # no text browser takes the terminal
    assert capsys.readouterr().out == "a/results/report.html\n"


def test_a_run_without_a_report_is_not_opened(folder, capsys):
    (folder / "a/results/report.html").unlink()
    assert main(["open", "a"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no report yet" in line and "shears watch a shows it" in line


@pytest.mark.parametrize("arguments", ["report a b", "open a", "watch a"])
def test_a_missing_package_is_one_line(folder, capsys, monkeypatch, arguments):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "jinja2" else find(name),
    )
    assert main(arguments.split()) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: the package jinja2 is missing, which looking at")
    assert line.endswith("pip install '.[report]'")


@pytest.mark.slow
def test_watching_ends_cleanly_and_names_a_taken_port(folder):
    command = [sys.executable, "-m", "shears", "watch", "a", "--port"]
    options = {
        "cwd": folder,
        "env": {**os.environ, "PYTHONPATH": str(ROOT)},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "encoding": "utf-8",
    }
    with subprocess.Popen([*command, "0"], **options) as process:
        line = process.stdout.readline()
        port = line.partition("127.0.0.1:")[2].partition("/")[0]
        socket.create_connection(("127.0.0.1", int(port))).close()
        taken = subprocess.run([*command, port], **options)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest.strip(), errors) == (0, "", "")
    assert taken.returncode == 1
    assert taken.stderr.startswith(f"error: --port: {port}: Address already in use")

import random
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from shears.notebooks.execution import CellResult, Limits, execute, run_cells
from shears.runtime.errors import UserError
from tests import ROOT


def sleep(seconds: int, options: str = "") -> str:
    """Code that starts a process, which is known by how long it sleeps."""
    return f"import subprocess\np = subprocess.Popen(['sleep', '{seconds}'], {options})"


def is_running(seconds: int) -> bool:
    command = ["sleep", str(seconds)]
    return any(p.info["cmdline"] == command for p in psutil.process_iter(["cmdline"]))


def test_execution_keeps_outputs_and_leaves_out_notes_and_times():
    notebook = new_notebook(
        cells=[
            new_code_cell(
                "import sys\nprint('out')\nprint('note', file=sys.stderr)\n6 * 7"
            ),
        ]
    )
    done = execute(notebook)
    assert notebook.cells[0].outputs == []
    stream, result = done.cells[0].outputs
    assert (stream.name, stream.text) == ("stdout", "out\n")
    assert result.data["text/plain"] == "42"
    assert "execution" not in done.cells[0].metadata
    assert nbformat.writes(execute(notebook)) == nbformat.writes(done)


def test_the_project_cannot_be_imported_while_it_runs(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = new_notebook(cells=[new_code_cell("import shears")])
    with pytest.raises(
        UserError, match="ModuleNotFoundError: No module named 'shears'"
    ):
        execute(notebook)


def test_a_failing_cell_is_reported_in_a_line():
    source = r"assert 1 == 2, '\x1b[31mnot\nso\x1b[2J'"
    notebook = new_notebook(cells=[new_code_cell(source)])
    with pytest.raises(UserError) as caught:
        execute(notebook)
    assert r"the notebook fails: AssertionError: not so\x1b[2J" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_notebook_is_given_variables():
    notebook = new_notebook(
        cells=[new_code_cell("import os\nassert 0, os.environ['A']")]
    )
    with pytest.raises(UserError, match="AssertionError: b$"):
        execute(notebook, variables={"A": "b"})


def test_a_killed_kernel_is_reported_in_a_line():
    source = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"
    notebook = new_notebook(cells=[new_code_cell(source)])
    with pytest.raises(UserError, match="stopped: its process ended"):
        execute(notebook)


def test_cells_after_one_that_fails_run_too():
    results, stopped, _ = run_cells(
        [
            "x = 1",
            "1 / 0",
            "",
            "%not_a_magic\nassert x == 1",
            "raise ValueError('a\\nb')",
        ]
    )
    assert stopped is None
    assert results == [
        CellResult(True, None),
        CellResult(True, "ZeroDivisionError: division by zero"),
        CellResult(True, None),
        CellResult(True, None),
        CellResult(True, "ValueError: a b"),
    ]


@pytest.mark.parametrize(
    ("limit", "source", "reason"),
    [
        (10, "while True: pass", "it took longer than 10 s"),
        (
            300,
            "x = bytearray(600 << 20)\nx[::4096] = x[1::4096]\nimport time\n"
            "time.sleep(600)",
            "it used more than 500 MiB of memory",
        ),
        (
            300,
            "while True: print('x' * 1000)",
            "it printed more than 100,000 characters",
        ),
    ],
)
def test_a_limit_stops_a_notebook_and_all_that_it_started(limit, source, reason):
    limits = Limits(seconds=limit, memory=500 << 20, output=100_000)
    seconds = random.randrange(10**6, 10**9)  # tests run side by side
    results, stopped, _ = run_cells(["1", sleep(seconds), source, "2"], limits)
    assert stopped == reason
    assert [r.finished for r in results] == [True, True, False, False]
    assert not is_running(seconds)


def test_what_a_notebook_leaves_running_is_ended():
    seconds = random.randrange(10**6, 10**9)  # tests run side by side
    results, stopped, _ = run_cells([sleep(seconds, "start_new_session=True")])
    assert (results, stopped) == ([CellResult(True, None)], None)
    time.sleep(0.1)
    assert not is_running(seconds)


def test_messages_that_are_not_jupyters_and_deep_folders_do_no_harm():
    send = (
        "k = get_ipython().kernel\n"
        "k.session.send(k.iopub_socket, 'stream', {}, parent=k.get_parent())\n"
        "import time\ntime.sleep(600)"
    )
    deep = "import os\nfor _ in range(1500):\n    os.mkdir('a')\n    os.chdir('a')"
    results, stopped, _ = run_cells([deep, send])
    assert results[0] == CellResult(True, None)
    assert stopped == "it sent a message that is not Jupyter's"

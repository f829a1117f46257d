import json
import os
import signal
import subprocess
import sys
import tempfile
import time

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from shears.notebooks.execution import CellResult, execute, run_cells
from shears.runtime.errors import UserError
from tests import ROOT


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
        CellResult(True, "UsageError: Line magic function `%not_a_magic` not found."),
        CellResult(True, "ValueError: a b"),
    ]


def test_what_a_notebook_asks_colab_for_does_not_end_its_cell():
    cells = [
        "%tensorflow_version 2.x\nx = 1",
        "from google.colab import drive, files\ndrive.mount('/content/drive')",
        "import google.colab\ngoogle.colab.drive.mount('/content/drive')",
        "import google.colab.drive\nfrom google.protobuf import message\nassert x",
        "assert not [name for name in dir() if 'shears' in name]",
    ]
    results, stopped, _ = run_cells(cells)
    assert stopped is None
    assert [result.error for result in results] == [None] * 5
    guarded = "try:\n  import google.colab\nexcept ImportError:\n  print('no Colab')"
    asked = (
        "import sys\nimport importlib.util\nassert 'google.colab' not in sys.modules\n"
        "if 'google.colab' in sys.modules:\n  from google.colab import drive"
    )
    results, _, _ = run_cells([guarded, asked, "print('import google.colab')"])
    assert [result.error for result in results] == [None] * 3
    # Another cell may catch something else, and the stand-in has a specification.
    caught = "import google.colab\ntry:\n  pass\nexcept Exception:\n  pass"
    known = "import importlib.util\nassert importlib.util.find_spec('google.colab')"
    results, _, _ = run_cells([caught, known])
    assert [result.error for result in results] == [None] * 2
    notebook = new_notebook(cells=[new_code_cell("%tensorflow_version 2.x\n1 + 1")])
    done = execute(notebook)
    assert done.cells[0].outputs[0].data["text/plain"] == "2"
    assert done.cells[0].execution_count == 1
    # Ours say where they are.
    notebook = new_notebook(cells=[new_code_cell("import google.colab")])
    with pytest.raises(UserError, match="ModuleNotFoundError"):
        execute(notebook)


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


RUN = """\
import sys
from shears.notebooks.execution import run_cells
from shears.runtime.errors import ctrl_c_ends_at_once
with ctrl_c_ends_at_once():
    run_cells([sys.argv[1]])
    print("went on")
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_a_run_and_leave_nothing(tmp_path, number):
    started = tmp_path / "started"
    cell = (
        f"import os, pathlib, time\npath = pathlib.Path({str(started)!r})\n"
        "path.with_suffix('.new').write_text(str(os.getpid()), encoding='utf-8')\n"
        "path.with_suffix('.new').rename(path)\ntime.sleep(600)"
    )
    places = tmp_path / "t"
    places.mkdir()
    run = subprocess.Popen(
        [sys.executable, "-c", RUN, cell],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(places)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        while not started.exists():
            assert run.poll() is None
            time.sleep(0.05)
        run.send_signal(number)
        output, errors = run.communicate(timeout=60)
    finally:
        run.kill()
    assert (run.returncode, output) == (-signal.SIGINT, "")
    assert "Traceback" not in errors
    try:  # killed, but perhaps nobody has asked how it ended
        kernel = psutil.Process(int(started.read_text(encoding="utf-8")))
        assert kernel.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        pass
    assert not list(places.iterdir())


# The signal comes while the kernel starts.
EARLY = """\
import os, signal
from jupyter_client.asynchronous.client import AsyncKernelClient
wait = AsyncKernelClient.wait_for_ready
def wait_for_ready(self, **how):
    os.kill(os.getpid(), signal.SIGINT)
    return wait(self, **how)
AsyncKernelClient.wait_for_ready = wait_for_ready
"""


@pytest.mark.slow
def test_ctrl_c_ends_a_run_whose_kernel_has_not_started(tmp_path):
    run = subprocess.run(
        [sys.executable, "-c", EARLY + RUN, "1"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert (run.returncode, run.stdout) == (-signal.SIGINT, "")
    assert "Traceback" not in run.stderr
    assert not list(tmp_path.iterdir())


def test_a_kernel_that_the_user_has_installed_is_not_taken(tmp_path, monkeypatch):
    other = tmp_path / "kernels/python3"
    other.mkdir(parents=True)
    spec = {"argv": ["/opt/other/python", "-m", "ipykernel_launcher"]}
    spec |= {"display_name": "Other", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    source = f"import sys\nassert sys.executable == {sys.executable!r}"
    assert run_cells([source]).results == [CellResult(True, None)]


@pytest.mark.parametrize("folder", ["x" * 120, "missing"])
def test_a_kernel_that_cannot_be_started_says_why_in_a_line(
    tmp_path, monkeypatch, folder
):
    if folder != "missing":
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / folder))
    with pytest.raises(UserError, match="^a notebook cannot be run here: ") as caught:
        run_cells(["1"])
    assert "\n" not in str(caught.value) and "TMPDIR" in str(caught.value)

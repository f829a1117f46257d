"""What a notebook may do behind walls, seen from inside; the ends of hostile ones.

Some of it runs as another user, too. If Python is in a folder that is root's alone,
that takes a machine where root may mount.
"""

import os
import random
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbclient
import psutil
import pytest

from shears.notebooks import confinement
from shears.notebooks.confinement import Confinement, describe_walls, missing_walls
from shears.notebooks.execution import CellResult, run_cells
from shears.notebooks.limits import Limits
from tests import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
LIMITS = Limits(seconds=120, memory=1 << 30)
# In mounts of its own, hides what else is in root's folder, and opens it to all.
OPENED = """
set -e
python=$1; shut=$2; shift 2
held=$(mktemp -d)
mount --bind "$python" "$held"
mount -t tmpfs -o mode=755 none "$shut"
mkdir -p "$python"
mount --move "$held" "$python"
rmdir "$held"
exec "$@"
"""


def errors(*sources: str) -> list[str | None]:
    """The kind of error that each cell ends with."""
    outcome = run_cells(sources, LIMITS, walls=Confinement())
    assert outcome.stopped is None
    return [r.error and r.error.partition(":")[0] for r in outcome.results]


def test_what_a_notebook_needs_is_there():
    assert (
        errors(
            "import numpy, os, threading, subprocess\n"
            "open('a', 'w').write('1')\n"
            "open(os.path.expanduser('~/b'), 'w').write('2')",
            "!cp a c",
            "assert open('c').read() == '1'",
            "t = threading.Thread(target=print); t.start(); t.join()",
            "assert subprocess.run(['ls'], capture_output=True).stdout",
        )
        == [None] * 5
    )


def test_other_files_the_network_and_other_processes_are_not(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "1")
    secret, notebook = tmp_path / "secret", tmp_path / "a.ipynb"
    for path in (secret, notebook):
        path.write_text("expected values", encoding="utf-8")
        path.chmod(0o666)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        found = errors(
            f"open({str(secret)!r})",
            f"open({str(tmp_path / 'new')!r}, 'w')",
            f"open({str(notebook)!r}, 'w')",
            f"import os; os.symlink({str(secret)!r}, 'link'); open('link')",
            "import os; os.kill(os.getppid(), 0)",
            "open(f'/proc/{os.getppid()}/environ')",
            f"open({str(ROOT / 'shears/optimizer_study/solutions.py')!r})",
            "import ctypes; assert ctypes.CDLL(None).unshare(0x10000000) == 0",
            f"import socket; socket.create_connection({address})",
            "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
            "os.environ['SECRET_TOKEN']",
            "import shears",
        )
    denied = ["PermissionError"] * 7
    ends = ["AssertionError", "OSError", "OSError", "KeyError", "ModuleNotFoundError"]
    assert found == [*denied, *ends]
    assert not (tmp_path / "new").exists()
    assert notebook.read_text(encoding="utf-8") == "expected values"


def test_this_project_is_out_of_reach_where_it_is_installed(monkeypatch):
    # As if a package that a notebook does not need were this project.
    monkeypatch.setattr(confinement.shears, "__file__", nbclient.__file__)
    assert errors("import numpy", "import nbclient") == [None, "PermissionError"]


def test_a_python_that_needs_other_files_keeps_them(monkeypatch, tmp_path):
    monkeypatch.setattr(
        confinement, "_files", lambda: {"readable": ["/bin"], "listed": []}
    )
    confinement._runs_with_few_files.cache_clear()
    (tmp_path / "file").write_text("text", encoding="utf-8")
    source = f"assert open({str(tmp_path / 'file')!r}).read() == 'text'"
    try:
        outcome = run_cells([source], LIMITS, walls=Confinement())
    finally:
        confinement._runs_with_few_files.cache_clear()
    assert outcome.results == [CellResult(True, None)]
    assert "landlock" not in outcome.walls and "seccomp" in outcome.walls


def bomb(seconds: int) -> str:
    """Code that starts 255 processes, at most, which start each other."""
    grow = (
        "f() { if [ $1 -gt 0 ]; then f $(($1 - 1)) & f $(($1 - 1)) & fi; "
        f"exec setsid sleep {seconds}; }}; f 7"
    )
    return f"import subprocess\nsubprocess.run(['sh', '-c', {grow!r}])"


def running(seconds: int) -> int:
    """Counts processes that are known by how long they sleep."""
    command = ["sleep", str(seconds)]
    return sum(p.info["cmdline"] == command for p in psutil.process_iter(["cmdline"]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("limits", "source", "reason"),
    [
        ({"seconds": 6}, "while True: pass", "it took longer than 6 s"),
        (
            {"processor": 4},
            "while True: pass",
            "it used more than 4 s of processor time",
        ),
        ({"processes": 40}, "BOMB", "it ran more than 40 processes"),
        (
            {"memory": 500 << 20},
            "x = bytearray(700 << 20)\nx[::4096] = x[1::4096]\n"
            "import time; time.sleep(99)",
            "it used more than 500 MiB of memory",
        ),
        (
            {"files": 60 << 20},
            "while True:\n  for i in '123': open(i, 'wb').write(bytes(40 << 20))",
            "it wrote more than 60 MiB of files",
        ),
        ({"output": 1 << 20}, "while True: print('x' * 1000)", "it printed more than"),
        ({}, "import os; os._exit(0)", "its process ended"),
        (
            {},
            "import os, signal; os.killpg(0, signal.SIGKILL)",
            "its process ended",
        ),
    ],
    ids=["time", "processor", "bomb", "memory", "files", "output", "exit", "kill"],
)
def test_a_hostile_notebook_is_stopped_with_all_that_it_started(limits, source, reason):
    seconds = random.randrange(10**6, 10**9)  # tests run side by side
    leave = f"import subprocess\nsubprocess.Popen(['env', '-i', 'sleep', '{seconds}'])"
    source = bomb(seconds) if source == "BOMB" else source
    outcome = run_cells(
        [leave, source, "1"], replace(LIMITS, **limits), walls=Confinement()
    )
    assert outcome.stopped and outcome.stopped.startswith(reason)
    assert [r.finished for r in outcome.results] == [True, False, False]
    assert running(seconds) == 0


def test_what_is_left_behind_is_ended_however_it_hides():
    seconds = random.randrange(10**6, 10**9)
    hide = f"setsid env -i sleep {seconds} & setsid setsid sleep {seconds} &"
    sources = [
        f"import os\n_ = os.system({hide!r})",
        "import os, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n"
        f"    os.execve('/usr/bin/sleep', ['sleep', '{seconds}'], {{}})\n"
        "  os._exit(0)\ntime.sleep(1)",
    ]
    outcome = run_cells(sources, LIMITS, walls=Confinement())
    assert outcome.results == [CellResult(True, None)] * 2
    assert running(seconds) == 0


def test_a_file_that_is_too_large_is_refused_to_a_notebook():
    limits = replace(LIMITS, files=50 << 20)
    source = "open('a', 'wb').write(bytes(60 << 20))"
    outcome = run_cells([source], limits, walls=Confinement())
    assert "File too large" in str(outcome.results[0].error)


@pytest.mark.slow
def test_a_message_that_is_too_large_does_not_reach_this_process():
    send = (
        "k = get_ipython().kernel\n"
        "k.session.send(k.iopub_socket, 'stream', {'name': 'stdout', 'text': "
        "'x' * (200 << 20)}, parent=k.get_parent())"
    )
    before = psutil.Process().memory_info().rss
    run_cells([send], Limits(seconds=60, output=1 << 20), walls=Confinement())
    assert psutil.Process().memory_info().rss - before < 100 << 20


@pytest.mark.parametrize(
    "send",
    [
        "s.send(c, 'execute_reply', {}, parent=p, ident=i)",
        "s.send(c, 'execute_reply', {'status': 1}, parent={'header': {}}, ident=i)",
        "c.send_multipart([*i, b'<IDS|MSG>', b'', b'x', b'x', b'x', b'x'])",
        "c.send_multipart([*i, b'x'])",
        "s.send(k.iopub_socket, 'status', {}, parent=p)",
        "s.send(k.iopub_socket, 'error', {}, parent=p)",
        "s.send(k.iopub_socket, 'display_data', {'data': 1, 'metadata': 2}, parent=p)",
        "s.send(k.iopub_socket, 'comm_open', {'data': 1}, parent=p)",
        "k.iopub_socket.send_multipart([b'x'] * 9)",
    ],
)
def test_no_message_is_an_exception_in_this_process(send):
    start = (
        "k = get_ipython().kernel\n"
        "s, c, p = k.session, k.shell_stream, k.get_parent()\n"
        "i = list(k.get_parent.__self__._parent_ident['shell'])\n"
    )
    limits = replace(LIMITS, seconds=15)
    outcome = run_cells([start, send, "1 / 0"], limits, walls=Confinement())
    assert outcome.results[0].error is None
    assert outcome.results[1].error is None
    stopped = outcome.stopped
    assert stopped is None or stopped.startswith(("it sent", "it took longer"))


def test_walls_that_do_not_stand_are_named():
    every = describe_walls(["user", "landlock", "seccomp"])
    none = describe_walls([])
    assert every == [
        "the notebook ran as a user of its own",
        "the notebook had no files but its own folder's and Python's",
        "the notebook had no network",
    ]
    assert len(none) == 3 and not set(every) & set(none)
    assert missing_walls(["user", "landlock"]) == none[2:]


def shut_folder(path: Path) -> Path | None:
    """The first folder above a path that others may not enter."""
    above = [p for p in reversed(path.parents) if not p.stat().st_mode & 0o001]
    return above[0] if above else None


def opened(user: list[str]) -> list[str]:
    """A command before which another one runs as a user, where all can run Python."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs root")
    shut = shut_folder(Path(sys.base_prefix).resolve())
    if shut is None:
        return user
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("this system allows no mounts")
    start = ["unshare", "-m", "sh", "-c", OPENED, "sh"]
    return [*start, str(Path(sys.base_prefix).resolve()), str(shut), *user]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("user", "walls"),
    [
        ([], "user, landlock, seccomp"),
        (
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
            "landlock, seccomp",
        ),
    ],
    ids=["root", "nobody"],
)
def test_the_walls_stand_for_another_user_and_without_root(user, walls, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from tests.unit.notebooks import test_confinement as tests\n"
        "outcome = tests.run_cells(['import os; print(os.getuid())'], "
        "walls=tests.Confinement())\n"
        "print(*outcome.walls, sep=', ')\n"
        "tests.test_what_a_notebook_needs_is_there()\n"
        "tests.test_what_is_left_behind_is_ended_however_it_hides()\n"
        "limits = {'processes': 40}\n"
        "tests.test_a_hostile_notebook_is_stopped_with_all_that_it_started("
        "limits, 'BOMB', 'it ran more than 40 processes')\n"
    )
    environment = os.environ | {"HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"}
    ran = subprocess.run(
        [*opened(user), sys.executable, "-c", code, str(ROOT)],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == walls

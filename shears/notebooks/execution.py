"""Runs a notebook in a process of its own, with limits."""

import copy
import json
import os
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psutil
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionComplete,
    CellExecutionError,
    DeadKernelError,
)
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from shears.runtime.errors import UserError, brief

POLL = 0.1  # seconds
COLOUR = re.compile(r"\x1b\[[\d;]*m")


@dataclass(frozen=True)
class Limits:
    """What a notebook may use; its processes are killed when they use more.

    Attributes:
        seconds: Wall time of the whole notebook.
        memory: Bytes of memory (resident) of its processes together.
        output: Characters that its cells print, pictures included.
    """

    seconds: float = 600
    memory: int = 4 << 30
    output: int = 16 << 20


@dataclass(frozen=True)
class CellResult:
    """How a code cell ended.

    Attributes:
        finished: Whether it ran to its end or to an error.
        error: The error, in one line; None if there was none.
    """

    finished: bool
    error: str | None


class _Watch:
    """Kills a kernel, with all that it started, when it passes a limit."""

    def __init__(self, limits: Limits, folder: str):
        self.limits = limits
        self.folder = folder  # in the environment of each of its processes
        self.reason: str | None = None
        self._processes: dict[int, psutil.Process] = {}
        self._ended = threading.Event()

    def start(self, pid: int) -> None:
        self._deadline = time.monotonic() + self.limits.seconds
        self._processes = {pid: psutil.Process(pid)}
        self._thread = threading.Thread(target=self._loop, args=(pid,), daemon=True)
        self._thread.start()

    def stop(self, reason: str) -> None:
        self.reason = self.reason or reason
        self._kill()

    def end(self) -> None:
        """Ends the watch, and the processes that the kernel left behind."""
        self._ended.set()
        if self._processes:
            self._thread.join()
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    if process.environ().get("IPYTHONDIR") == self.folder:
                        process.kill()

    def _kill(self) -> None:
        for process in list(self._processes.values()):
            with suppress(psutil.Error):
                process.kill()  # checks that it is still the same process

    def _loop(self, pid: int) -> None:
        kernel = self._processes[pid]
        while not self._ended.wait(POLL):
            with suppress(psutil.Error):
                self._processes |= {p.pid: p for p in kernel.children(recursive=True)}
            used = 0
            for process in self._processes.values():
                with suppress(psutil.Error):
                    used += process.memory_info().rss
            if used > self.limits.memory:
                self.stop(
                    f"it used more than {self.limits.memory >> 20:,} MiB of memory"
                )
            if time.monotonic() > self._deadline:
                self.stop(f"it took longer than {self.limits.seconds:g} s")


class _Client(NotebookClient):
    """A client that counts what is printed, and notes which cells finished."""

    def __init__(self, notebook: NotebookNode, watch: _Watch, **options: Any):
        super().__init__(notebook, **options)
        self.watch = watch
        self.printed = 0
        self.finished: set[int] = set()
        self.on_notebook_start = self._started
        self.on_cell_executed = self._executed

    def _started(self, notebook: NotebookNode) -> None:
        manager: Any = self.km
        self.watch.start(manager.provisioner.pid)

    def _executed(self, cell: NotebookNode, cell_index: int, **_: Any) -> None:
        self.finished.add(cell_index)

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        self.printed += len(json.dumps(msg["content"], default=str))
        if self.printed > (most := self.watch.limits.output):
            self.watch.stop(f"it printed more than {most:,} characters")
            return None
        try:
            return super().process_message(msg, cell, cell_index)
        except CellExecutionComplete:
            raise
        except Exception:  # code in a cell can send anything
            self.watch.stop("it sent a message that is not Jupyter's")
            return None


@contextmanager
def _client(
    notebook: NotebookNode,
    limits: Limits,
    *,
    allow_errors: bool = False,
    variables: Mapping[str, str] | None = None,
) -> Iterator[_Client]:
    """Runs a notebook, which it changes, in a folder that is then removed."""
    folder = tempfile.mkdtemp()
    watch = _Watch(limits, folder)
    try:
        client = _Client(
            notebook,
            watch,
            # Sockets in a private folder: anybody on the machine could use a port.
            km=AsyncKernelManager(transport="ipc", ip=f"{folder}/kernel"),
            timeout=None,  # the watch has one for the whole notebook
            allow_errors=allow_errors,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # Ignore the user's settings, history and kernels.
            "IPYTHONDIR": folder,
            "JUPYTER_NO_CONFIG": "1",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            **(variables or {}),
        }
        quiet = subprocess.DEVNULL
        try:
            client.execute(env=environment, stdout=quiet, stderr=quiet)
        except DeadKernelError:
            watch.reason = watch.reason or (
                "its process ended, most often because memory ran out; close other "
                "programs and run again"
            )
        except RuntimeError:
            watch.reason = watch.reason or "its process did not answer in time"
        yield client
    finally:
        watch.end()
        # Unlike shutil.rmtree, rm does not mind how deep folders are nested.
        subprocess.run(["rm", "-rf", folder], stderr=subprocess.DEVNULL)


def _one_line(name: str, text: str) -> str:
    """Describes the exception of a cell, whose text may be anything."""
    return brief(COLOUR.sub("", f"{name}: {text}"))


def execute(
    notebook: NotebookNode,
    limits: Limits = Limits(),
    *,
    variables: Mapping[str, str] | None = None,
) -> NotebookNode:
    """Runs all cells in a new process that cannot import this project.

    Args:
        notebook: Not changed.
        limits: What it may use.
        variables: Environment variables that it is given.

    Returns:
        The notebook with its outputs, but without standard error (TensorFlow's notes)
        and times, so that the same machine produces the same bytes.

    Raises:
        UserError: A cell failed, a limit was passed or the kernel died.
    """
    notebook = copy.deepcopy(notebook)
    try:
        with _client(notebook, limits, variables=variables) as client:
            if client.watch.reason:
                raise UserError(f"the notebook was stopped: {client.watch.reason}")
    except CellExecutionError as error:
        text = _one_line(error.ename, error.evalue)
        raise UserError(f"the notebook fails: {text}") from error
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    return notebook


def run_cells(
    sources: Sequence[str], limits: Limits = Limits()
) -> tuple[list[CellResult], str | None]:
    """Runs code cells like `execute`, and goes on after one that fails.

    Args:
        sources: The cells' code, in order.
        limits: What they may use.

    Returns:
        A result for each cell, and why the run was stopped, or None.
    """
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    with _client(notebook, limits, allow_errors=True) as client:
        results = []
        for number, cell in enumerate(notebook.cells):
            errors = [o for o in cell.outputs if o.output_type == "error"]
            text = _one_line(errors[0].ename, errors[0].evalue) if errors else None
            # Cells without code are not sent to the kernel.
            finished = number in client.finished or not cell.source.strip()
            results.append(CellResult(finished, text))
        return results, client.watch.reason

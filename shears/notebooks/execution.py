"""Runs a notebook in a process of its own, with limits and, if asked, behind walls."""

import copy
import json
import os
import re
import subprocess
import tempfile
from asyncio import CancelledError
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import (
    CellExecutionComplete,
    CellExecutionError,
    DeadKernelError,
)
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from shears.notebooks.limits import DEFAULT_LIMITS, Limits, Watch
from shears.runtime.errors import UserError, brief

QUEUE = 4  # messages that may wait
MESSAGE = 64 << 20  # bytes of one; a loop that prints sends tens of millions at once
NOT_JUPYTERS = "it sent a message that is not Jupyter's"
COLOUR = re.compile(r"\x1b\[[\d;]*m")
#: Runs first, unseen: Colab's magic for TensorFlow 2 would end its cell elsewhere.
MAGIC = """\
get_ipython().register_magic_function(
    lambda line: None, "line", "tensorflow_version"
)
"""
#: Then, for a stranger's notebook: Colab's modules would, too.
COLAB = """\
def _shears_colab():
    import importlib.machinery
    import sys
    import types
    from unittest.mock import MagicMock

    colab = types.ModuleType("google.colab")
    colab.__spec__ = importlib.machinery.ModuleSpec("google.colab", None)
    for name in ("auth", "data_table", "drive", "files", "output", "userdata"):
        sys.modules[f"google.colab.{name}"] = MagicMock()
        setattr(colab, name, sys.modules[f"google.colab.{name}"])
    sys.modules["google.colab"] = colab
    try:
        import google
        google.colab = colab
    except ImportError:
        pass

_shears_colab()
del _shears_colab
"""


@dataclass(frozen=True)
class CellResult:
    """How a code cell ended.

    Attributes:
        finished: Whether it ran to its end or to an error.
        error: The error, in one line; None if there was none.
        data: What it displayed, by MIME type, which may be anything.
    """

    finished: bool
    error: str | None
    data: Mapping[str, Any] = field(default_factory=dict)


class Walls(Protocol):
    """Locks a stranger's notebook in; `shears.notebooks.confinement` is one."""

    def command(self, kernel: list[str], folder: str, limits: Limits) -> list[str]:
        """Returns the command that starts a kernel behind walls."""

    def environment(self, folder: str) -> Mapping[str, str]:
        """Returns the environment variables that the kernel is given."""

    def standing(self, folder: str) -> list[str]:
        """Names the walls that stand, before anything of the notebook has run."""


class Outcome(NamedTuple):
    """How a run of cells ended.

    Attributes:
        results: A result for each cell.
        stopped: Why the run was stopped, or None.
        walls: Which walls stood, as `Walls` names them.
    """

    results: list[CellResult]
    stopped: str | None
    walls: list[str]


class _Manager(AsyncKernelManager):
    """Starts a kernel behind walls."""

    def __init__(self, walls: Walls, folder: str, limits: Limits, **options: Any):
        super().__init__(**options)
        self._walls, self._folder, self._limits = walls, folder, limits
        # A flood of messages must not fill this process' memory.
        self.context.maxmsgsize = MESSAGE
        self.context.rcvhwm = QUEUE

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        """Returns the command that starts the kernel."""
        kernel = super().format_kernel_cmd(extra_arguments)
        return self._walls.command(kernel, self._folder, self._limits)

    def client(self, **options: Any) -> Any:
        """Returns a client whose sockets have the limits on messages."""
        return super().client(context=self.context, **options)


class _Client(NotebookClient):
    """A client that counts what is printed, and notes which cells finished."""

    def __init__(
        self,
        notebook: NotebookNode,
        watch: Watch,
        walls: Walls | None,
        first: str,
        **options: Any,
    ):
        super().__init__(notebook, **options)
        self.watch, self.first = watch, first
        self._walls = walls
        self.printed = 0
        self.finished: set[int] = set()
        self.failed: dict[int, str] = {}  # cells whose reply is an error
        self.walls: list[str] = []
        self.on_notebook_start = self._started
        self.on_cell_executed = self._executed

    @property
    def interrupted(self) -> bool:
        """Whether a signal came: nbclient then ends the kernel, and goes on."""
        return getattr(self, "_async_cleanup_kernel_future", None) is not None

    def _started(self, notebook: NotebookNode) -> None:
        manager: Any = self.km
        self.watch.start(manager.provisioner.pid)
        if self._walls:
            self.walls = self._walls.standing(self.watch.folder)
        client: Any = self.kc
        client.execute(self.first, silent=True, store_history=False)

    def _executed(
        self, cell: NotebookNode, cell_index: int, execute_reply: dict[str, Any]
    ) -> None:
        self.finished.add(cell_index)
        # An unknown magic ends its cell, but shows no error among the outputs.
        reply = execute_reply.get("content", {})
        if isinstance(reply, dict) and reply.get("status") == "error":
            self.failed[cell_index] = _one_line(
                str(reply.get("ename")), str(reply.get("evalue"))
            )

    def process_message(
        self, msg: dict[str, Any], cell: NotebookNode, cell_index: int
    ) -> NotebookNode | None:
        self.printed += len(json.dumps(msg["content"], default=str))
        self.printed += sum(map(len, msg.get("buffers", [])))
        if self.printed > (most := self.watch.limits.output):
            self.watch.stop(f"it printed more than {most:,} characters")
            return None
        try:
            return super().process_message(msg, cell, cell_index)
        except CellExecutionComplete:
            raise
        except Exception:  # code in a cell can send anything
            self.watch.stop(NOT_JUPYTERS)
            return None


@contextmanager
def _client(
    notebook: NotebookNode,
    limits: Limits,
    *,
    first: str = MAGIC,
    allow_errors: bool = False,
    variables: Mapping[str, str] | None = None,
    walls: Walls | None = None,
) -> Iterator[_Client]:
    """Runs a notebook, which it changes, in a folder that is then removed.

    Raises:
        UserError: The kernel cannot be started.
        CellExecutionError: A cell failed, and errors are not allowed.
        KeyboardInterrupt: Ctrl-C or SIGTERM ended the run.
    """
    try:
        folder = os.path.realpath(tempfile.mkdtemp())
    except OSError as error:
        raise _no_kernel(error) from None
    watch = Watch(limits, folder, look_at_files=bool(walls))
    try:
        options = {
            # Sockets in a private folder: anybody on the machine could use a port.
            "transport": "ipc",
            "ip": f"{folder}/kernel",
            "connection_file": f"{folder}/connection.json",
            # This Python's kernel, whatever others the user has installed.
            "kernel_spec_manager": KernelSpecManager(kernel_dirs=[]),
        }
        manager = (
            _Manager(walls, folder, limits, **options)
            if walls
            else AsyncKernelManager(**options)
        )
        client = _Client(
            notebook,
            watch,
            walls,
            first,
            km=manager,
            timeout=None,  # the watch has one for the whole notebook
            allow_errors=allow_errors,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        outer = walls.environment(folder) if walls else os.environ
        environment = {
            **{k: v for k, v in outer.items() if k != "PYTHONPATH"},
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # Ignore the user's settings and history.
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
        except (RuntimeError, CancelledError):
            watch.reason = watch.reason or "its process did not answer in time"
        except CellExecutionError:
            raise
        except Exception as error:
            if not client.interrupted:
                if not watch.started:
                    raise _no_kernel(error) from error
                if walls is None:
                    raise
                watch.stop(NOT_JUPYTERS)
        if client.interrupted:
            raise KeyboardInterrupt
        yield client
    finally:
        watch.end()
        # Unlike shutil.rmtree, rm does not mind how deep folders are nested.
        subprocess.run(["rm", "-rf", folder], stderr=subprocess.DEVNULL)


def _no_kernel(error: Exception) -> UserError:
    return UserError(
        f"a notebook cannot be run here: {brief(error)}; its files and sockets are in "
        "TMPDIR (or /tmp), which needs free space and a short path"
    )


def _one_line(name: str, text: str) -> str:
    """Describes the exception of a cell, whose text may be anything."""
    return brief(COLOUR.sub("", f"{name}: {text}"))


def execute(
    notebook: NotebookNode,
    limits: Limits = DEFAULT_LIMITS,
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
    sources: Sequence[str],
    limits: Limits = DEFAULT_LIMITS,
    *,
    walls: Walls | None = None,
) -> Outcome:
    """Runs code cells like `execute`, and goes on after one that fails.

    Args:
        sources: The cells' code, in order.
        limits: What they may use.
        walls: What locks them in, if they are a stranger's.
    """
    notebook = new_notebook(cells=[new_code_cell(source) for source in sources])
    # Who asks whether there is a Colab, or catches that there is none, wants none.
    asked = re.compile(r"^(?:import|from)\s+google\.colab\b", re.MULTILINE)
    first = MAGIC + COLAB if any(map(asked.search, sources)) else MAGIC
    with _client(
        notebook, limits, first=first, allow_errors=True, walls=walls
    ) as client:
        results = []
        for number, cell in enumerate(notebook.cells):
            errors = [o for o in cell.outputs if o.output_type == "error"]
            text = client.failed.get(number)
            if errors:
                text = _one_line(errors[0].ename, errors[0].evalue)
            # Cells without code are not sent to the kernel.
            finished = number in client.finished or not cell.source.strip()
            data: dict[str, Any] = {}
            for shown in cell.outputs:
                if isinstance(shown.get("data"), dict):
                    data |= shown["data"]
            results.append(CellResult(finished, text, data))
        return Outcome(results, client.watch.reason, client.walls)

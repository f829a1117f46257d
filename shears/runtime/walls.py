"""Runs a function on a stranger's file in a process that can do nothing else.

The process gets the open file and limits of memory and time. It may write its answer,
and otherwise neither open files nor start programs nor use the network
(`shears.runtime.kernel_walls`, Linux only). However it ends, the caller gets an answer
or one line that says why there is none.
"""

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

from shears.runtime.errors import UserError
from shears.runtime.kernel_walls import raise_kernel_walls

ANSWER, REFUSAL = b"+", b"-"  # the first byte of what the process writes
_CHILD = """\
import json, sys
options = json.loads(sys.argv[1])
sys.path[:] = options["path"]
from shears.runtime.walls import answer
answer(**options["answer"])
"""


class Limits(NamedTuple):
    """What reading a file may take.

    Attributes:
        memory: Bytes, besides those of Python and its libraries.
        processor: Seconds of processor time, whole.
        wall: Seconds on the clock.
        answer: Bytes of the answer.
    """

    memory: int = 512 << 20
    processor: int = 20
    wall: float = 60
    answer: int = 16 << 20


class Process(Protocol):
    """A process that `answer` runs in: what ``subprocess.Popen`` has."""

    pid: int

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end; raises ``subprocess.TimeoutExpired``."""


#: Starts a process in a session of its own, whose standard output is the last argument.
Start = Callable[[str, BinaryIO, Limits, BinaryIO], Process]


def start_python(
    function: str, file: BinaryIO, limits: Limits, output: BinaryIO
) -> Process:
    """Starts a new Python, which imports only what the function needs."""
    options = {
        "path": [os.path.abspath(place) for place in sys.path],
        "answer": {
            "function": function,
            "descriptor": file.fileno(),
            "limits": limits,
        },
    }
    kept = ("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    # Threads of the linear algebra take memory and are not needed.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CHILD, json.dumps(options)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.DEVNULL,
        pass_fds=[file.fileno()],
        env=environment,
        start_new_session=True,
    )


def call(
    function: str, file: BinaryIO, limits: Limits, start: Start = start_python
) -> bytes:
    """Calls a function with a stranger's file, in a process of its own.

    Args:
        function: Module and name, as "package.module:name". It gets the open file and
            returns bytes. What it needs is imported before the walls are raised, with
            its module.
        file: The file, open to read.
        limits: What the call may take.
        start: How the process is started.

    Returns:
        What the function returned. It is a stranger's, as the file is, because a flaw
        in the library that reads the file may have let the file write it.

    Raises:
        UserError: The function raised one, or the process came to a limit or died. The
            error does not name the file.
    """
    with tempfile.TemporaryFile() as written:
        process = start(function, file, limits, written)
        try:
            code = process.wait(limits.wall)
        except BaseException as error:  # Ctrl-C does not reach its session
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise UserError(
                    f"reading it took more than {limits.wall:g} seconds: no writer "
                    "makes such a file"
                ) from None
            raise
        written.seek(0)
        kind, content = written.read(1), written.read(limits.answer)
    if code == 0 and kind == ANSWER:
        return content
    if code == 0 and kind == REFUSAL:
        raise UserError(content.decode(errors="replace"))
    raise UserError(_describe_end(code, limits))


def _describe_end(code: int, limits: Limits) -> str:
    """Says why a process ended without an answer."""
    if -code == signal.SIGXCPU:
        return (
            f"reading it took more than {limits.processor} seconds of processor time: "
            "no writer makes such a file"
        )
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return (
        f"the process that reads it died ({name}): the file is cut off, damaged or "
        "made to do harm"
    )


def answer(function: str, descriptor: int, limits: list[float]) -> None:
    """Is the process that `call` starts: calls the function and writes the answer.

    Args:
        function: Module and name, as "package.module:name".
        descriptor: The open file.
        limits: The values of `Limits`.
    """
    module, name = function.split(":")
    read: Callable[[BinaryIO], bytes] = getattr(importlib.import_module(module), name)
    allowed = Limits(*limits)  # type: ignore[arg-type]
    _limit_resources(allowed)
    raise_kernel_walls()
    try:
        with os.fdopen(descriptor, "rb") as file:
            content = ANSWER + read(file)
    except UserError as error:
        content = REFUSAL + str(error).encode()
    except MemoryError:
        text = f"reading it took more than {allowed.memory >> 20:,} MiB of memory"
        content = REFUSAL + text.encode()
    with os.fdopen(os.dup(1), "wb") as output:
        output.write(content)
    os._exit(0)  # whatever the file has left in the libraries' memory is not run


def _limit_resources(limits: Limits) -> None:
    """Sets the limits of memory, processor time and output of this process."""
    hard = limits.processor + 1
    resource.setrlimit(resource.RLIMIT_CPU, (limits.processor, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.answer + 1,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    status = Path("/proc/self/statm")
    if status.exists():  # elsewhere a limit of the address space has no effect
        taken = int(status.read_text(encoding="ascii").split()[0])
        taken *= resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + limits.memory,) * 2)

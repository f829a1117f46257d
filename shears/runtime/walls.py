"""Runs a function on a stranger's file in a process that can do nothing else.

The process gets the open file and limits of memory and time. It may write its answer,
and otherwise neither open files nor start programs nor use the network
(`shears.runtime.kernel_walls`, Linux only). However it ends, the caller gets an answer
or one line that says why there is none.
"""

import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from shears.runtime.errors import MachineError, UserError
from shears.runtime.kernel_walls import raise_kernel_walls

ANSWER, REFUSAL = b"+", b"-"  # the first byte of what the process writes
_NUMBER = struct.Struct("!i")  # how the original of `Copies` tells a number
_CHILD = """\
import json, sys
options = json.loads(sys.argv[1])
sys.path[:] = options["path"]
from shears.runtime import walls
getattr(walls, options["call"])(**options["arguments"])
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


def _start(call: str, arguments: dict[str, Any], kept: int, output: Any) -> Any:
    """Starts a new Python that calls a function of this module.

    Args:
        call: The function's name.
        arguments: Its arguments, as JSON has them.
        kept: The only descriptor that the process gets, besides the standard ones.
        output: Its standard output.
    """
    options = {
        "path": [os.path.abspath(place) for place in sys.path],
        "call": call,
        "arguments": arguments,
    }
    passed = ("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in passed if name in os.environ}
    # Threads of the linear algebra take memory and are not needed.
    environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CHILD, json.dumps(options)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.DEVNULL,
        pass_fds=[kept],
        env=environment,
        start_new_session=True,
    )


def start_python(
    function: str, file: BinaryIO, limits: Limits, output: BinaryIO
) -> Process:
    """Starts a new Python, which imports only what the function needs."""
    arguments = {"function": function, "descriptor": file.fileno(), "limits": limits}
    return _start("answer", arguments, file.fileno(), output)


class Copies:
    """Starts copies of one Python that has already imported what a function needs.

    A new Python takes a third of a second to start, a copy a few milliseconds. The
    original reads no file. One copy runs at a time.
    """

    def __init__(self, module: str) -> None:
        """Starts the original, which imports a module."""
        self._module = module
        self._begin()

    def _begin(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            arguments = {"descriptor": theirs.fileno(), "module": self._module}
            self._original = _start(
                "copy_itself", arguments, theirs.fileno(), subprocess.DEVNULL
            )

    def __enter__(self) -> "Copies":
        """Returns itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the original."""
        self._socket.close()
        self._original.wait()

    def start(
        self, function: str, file: BinaryIO, limits: Limits, output: BinaryIO
    ) -> Process:
        """Starts a copy; see `Start`. A new original replaces one that was killed."""
        try:
            return self._ask(function, file, limits, output)
        except (BrokenPipeError, ConnectionResetError, MachineError):
            self.__exit__()
            self._begin()
            return self._ask(function, file, limits, output)

    def _ask(
        self, function: str, file: BinaryIO, limits: Limits, output: BinaryIO
    ) -> Process:
        request = json.dumps([function, limits]).encode()
        socket.send_fds(self._socket, [request], [file.fileno(), output.fileno()])
        return _Copy(self._socket, _receive(self._socket))


class _Copy:
    """A copy that runs."""

    def __init__(self, original: socket.socket, pid: int) -> None:
        self._original, self.pid = original, pid

    def wait(self, timeout: float | None = None) -> int:
        self._original.settimeout(timeout)
        try:
            return _receive(self._original)
        except TimeoutError:
            raise subprocess.TimeoutExpired("reading", timeout or 0) from None
        finally:
            self._original.settimeout(None)


def copy_itself(descriptor: int, module: str) -> None:
    """Is the original of `Copies`: forks for each request, and says how copies end.

    Args:
        descriptor: The socket that requests come from.
        module: What to import first.
    """
    importlib.import_module(module)
    with socket.socket(fileno=descriptor) as requests:
        while True:
            request, descriptors, _, _ = socket.recv_fds(requests, 10_000, 2)
            if not request:
                return
            file, output = descriptors
            pid = os.fork()
            if not pid:
                os.setsid()
                os.dup2(output, 1)
                os.close(descriptor)
                try:
                    answer(json.loads(request)[0], file, json.loads(request)[1])
                finally:
                    os._exit(1)
            os.close(file)
            os.close(output)
            requests.send(_NUMBER.pack(pid))
            _, status = os.waitpid(pid, 0)
            requests.send(_NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _receive(original: socket.socket) -> int:
    """Receives a number from the original."""
    content = original.recv(_NUMBER.size, socket.MSG_WAITALL)
    if len(content) < _NUMBER.size:
        raise MachineError("the process that starts readers of files was killed")
    return _NUMBER.unpack(content)[0]


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
        MachineError: No process can be started, it was killed from outside, or its
            answer cannot be written.
    """
    asked, limits = limits, _within_ours(limits)
    with _temporary_file() as written:
        try:
            process = start(function, file, limits, written)
        except OSError as error:
            raise MachineError(
                f"no process can be started to read it: {error.strerror or error}"
            ) from None
        try:
            code = process.wait(limits.wall)
        except BaseException as error:  # Ctrl-C does not reach its session
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, MachineError):
                raise
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                raise UserError(
                    f"reading it took more than {limits.wall:g} seconds: no writer "
                    "makes such a file"
                ) from None
            raise
        written.seek(0)
        kind, content = written.read(1), written.read(limits.answer)
        if code:
            _check_room(written, asked.answer)
    if code == 0 and kind == ANSWER:
        return content
    if code == 0 and kind == REFUSAL:
        raise UserError(content.decode(errors="replace"))
    if -code == signal.SIGKILL:
        raise MachineError(
            "the process that reads it was killed (SIGKILL), most often for lack of "
            "memory: try again with more of it"
        )
    raise UserError(_describe_end(code, limits))


@contextlib.contextmanager
def _temporary_file() -> Iterator[BinaryIO]:
    """Opens a temporary file for an answer."""
    try:
        opened = tempfile.TemporaryFile()
    except OSError as error:
        raise MachineError(
            f"{error.strerror or error}; TMPDIR names a folder for temporary files"
        ) from None
    try:
        yield opened
    finally:
        with contextlib.suppress(OSError):  # of what a full disk has no room for
            opened.close()


def _check_room(file: BinaryIO, size: int) -> None:
    """Checks that there was room for an answer: without it, the process dies.

    Raises:
        MachineError: There was not.
    """
    try:
        file.seek(0)
        file.write(bytes(size))
        file.flush()
    except OSError as error:
        raise MachineError(
            f"its contents could not be written to {tempfile.gettempdir()}: "
            f"{error.strerror}; TMPDIR names another folder"
        ) from None


def _within_ours(limits: Limits) -> Limits:
    """Lowers limits to those that this process has itself and cannot pass."""

    def lower(value: int, kind: int) -> int:
        hard = resource.getrlimit(kind)[1]
        return value if hard == resource.RLIM_INFINITY else min(value, hard - 1)

    return limits._replace(
        processor=lower(limits.processor, resource.RLIMIT_CPU),
        answer=lower(limits.answer, resource.RLIMIT_FSIZE),
    )


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
        most, hard = taken + limits.memory, resource.getrlimit(resource.RLIMIT_AS)[1]
        if hard == resource.RLIM_INFINITY or most < hard:
            resource.setrlimit(resource.RLIMIT_AS, (most, most))

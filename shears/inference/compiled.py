"""C code of a network, compiled by this machine's compiler and called from Python."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from shears.inference.c_code import LANES, CCode
from shears.model.architecture import CLASSES, INPUT_SHAPE
from shears.runtime.errors import UserError, brief

COMPILERS = ("cc", "gcc", "clang")  #: in the order in which they are looked for
#: What network.h recommends.
FLAGS = ("-std=c99", "-O3", "-march=native", "-ffp-contract=fast")
LONGEST = 120  # seconds; it takes about one


class CompiledNetwork:
    """A network as machine code. Threads may call it at once."""

    def __init__(self, code: CCode, library: Path):
        """Loads a library that `compile_c` made of the code."""
        functions = ctypes.CDLL(str(library))
        self._one = functions[f"{code.name}_logits"]
        self._batch = functions[f"{code.name}_logits_batch"]
        pointer = ctypes.c_void_p
        self._one.argtypes = [pointer, pointer, pointer]
        self._batch.argtypes = [pointer, ctypes.c_size_t, pointer, pointer]
        self._one.restype = self._batch.restype = None
        self._floats = code.workspace // 4
        self._workspaces: list[np.ndarray] = []  # those that nobody uses now
        self._threads = ThreadPoolExecutor(os.cpu_count())
        self.library = library

    def predict(self, images: np.ndarray, threads: int = 1) -> np.ndarray:
        """Computes logits.

        Args:
            images: (N, 32, 32, 3), pixels / 255; float32 is used as it is.
            threads: Among which the images are divided.

        Returns:
            (N, 10) float32.
        """
        images = np.ascontiguousarray(images, np.float32)
        if images.shape[1:] != INPUT_SHAPE:
            raise ValueError(f"images: found {images.shape}, expected (N, 32, 32, 3)")
        logits = np.empty((len(images), CLASSES), np.float32)
        if threads == 1 or len(images) <= LANES:  # one vector: nothing to divide
            self._compute(images, logits)
            return logits
        # Whole vectors of images, as many for each thread as for the others.
        step = -(-len(images) // (threads * LANES)) * LANES or LANES
        starts = range(0, len(images), step)
        list(
            self._threads.map(
                lambda i: self._compute(images[i : i + step], logits[i : i + step]),
                starts,
            )
        )
        return logits

    def _compute(self, images: np.ndarray, logits: np.ndarray) -> None:
        """Computes logits of images in this thread."""
        try:
            workspace = self._workspaces.pop()
        except IndexError:
            workspace = np.empty(self._floats, np.float32)
        places = images.ctypes.data, logits.ctypes.data, workspace.ctypes.data
        if len(images) == 1:
            self._one(*places)
        else:
            self._batch(places[0], len(images), *places[1:])
        self._workspaces.append(workspace)


def find_compiler() -> str | None:
    """Finds the first of `COMPILERS` that this machine has."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


def compile_c(
    code: CCode, folder: str | Path, compiler: str | None = None
) -> CompiledNetwork:
    """Compiles a network's code for this processor and loads it.

    Args:
        code: From `write_c`.
        folder: Where the library is left; created if it is missing. The name has the
            code's checksum in it, because a process loads a library of a name once.
        compiler: By default `find_compiler`'s.

    Raises:
        UserError: There is no compiler, or it fails.
        OSError: The folder is not writable.
    """
    compiler = compiler or find_compiler()
    if compiler is None:
        raise UserError(
            f"found no C compiler, expected one of {', '.join(COMPILERS)}: install one "
            "(Debian: apt-get install gcc)"
        )
    digest = hashlib.sha256((code.source + code.header).encode()).hexdigest()[:16]
    library = Path(folder).absolute() / f"{code.name}.{digest}.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent) as work:
        write_files(code, work)
        sources = ["-shared", "-fPIC", f"{code.name}.c", "-o", library.name]
        _run([compiler, *FLAGS, *sources], work)
        Path(work, library.name).replace(library)
    return CompiledNetwork(code, library)


def write_files(code: CCode, folder: str | Path) -> None:
    """Writes ``name.c`` and ``name.h`` into a folder."""
    for suffix, text in ((".c", code.source), (".h", code.header)):
        Path(folder, code.name + suffix).write_text(text, encoding="utf-8")


def _run(command: list[str], folder: str) -> None:
    """Runs a compiler.

    Raises:
        UserError: It fails or hangs.
    """
    try:
        process = subprocess.run(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LONGEST,
        )
    except OSError as error:
        raise UserError(f"{command[0]}: the C compiler does not run: {error}") from None
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{command[0]}: the C compiler did not end within {LONGEST} seconds"
        ) from None
    if process.returncode:
        lines = [line for line in process.stderr.splitlines() if "error" in line]
        reason = (lines or process.stderr.splitlines() or ["no message"])[0]
        raise UserError(
            f"{command[0]}: the C compiler failed with code {process.returncode}: "
            f"{brief(reason)}"
        )

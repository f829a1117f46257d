"""Damages genuine weights files in many ways and looks at how the scorer reads them.

    make fuzz                       10,000 mutants: half an hour on two cores
    make fuzz ARGS="--mutants 500 --seed 1"

Every mutant must be read or refused in one line, within the limits; what is read twice
must be the same twice. A mutant depends on the seed and its number only. Finished ones
are kept in fuzz/, in a folder for each commit, so a run that was stopped continues. A
mutant that breaks a rule is kept there, too, and the exit code is 1.
"""

import argparse
import collections
import functools
import io
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import h5py
import numpy as np

from shears.runtime import machine
from shears.runtime.errors import MachineError, UserError
from shears.runtime.output import checked_output
from shears.runtime.walls import Limits, answer
from shears.weight_files.reader import LIMITS, read_weights_file
from tests import ROOT
from tests.unit.weight_files.genuine_files import GENUINE, unpack
from tools.write_results import markdown_table

MUTANTS = 10_000
_FOLDER = tempfile.TemporaryDirectory()  # of the unpacked genuine files
SOURCES = [name for name in GENUINE if name.endswith((".h5", ".keras"))]
#: Bytes that a mutant's process may take besides the limit: Python and its libraries.
LIBRARIES = 512 << 20
#: What may become of a mutant; "died" and "limit" are refusals, too.
ALLOWED = ("accepted", "refused", "limit", "died")
# What stands where HDF5 and zip archives keep sizes, counts and places.
EDGES = (0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 2**63, 2**64 - 1)


class Fork:
    """A copy of this process that reads a file: a new Python takes far longer to start.

    It has the same walls and limits (`shears.runtime.walls.answer`).
    """

    def __init__(
        self, function: str, file: BinaryIO, limits: Limits, output: BinaryIO
    ) -> None:
        """Starts it."""
        self.pid = os.fork()
        if not self.pid:
            os.setsid()
            os.dup2(output.fileno(), 1)
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, 0)
            os.dup2(nowhere, 2)
            try:
                answer(function, os.dup(file.fileno()), list(limits))
            finally:
                os._exit(1)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for its end, as ``subprocess.Popen`` does."""
        end = time.monotonic() + (timeout or 3600)
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("reading", timeout or 3600)
            time.sleep(0.002)


class Outcome(NamedTuple):
    """How a mutant was read.

    Attributes:
        kind: How it was made, a key of `KINDS`.
        number: Its number.
        result: One of `ALLOWED`, or what rule was broken.
        memory: The most bytes that a process which read mutants has taken so far.
    """

    kind: str
    number: int
    result: str
    memory: int


def flip(content: bytes, random: np.random.Generator) -> bytes:
    """Flips one to eight bits, mostly where HDF5 keeps its structure: at the start."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 9)):
        end = len(changed) if random.random() < 0.3 else min(len(changed), 20_000)
        changed[random.integers(end)] ^= 1 << random.integers(8)
    return bytes(changed)


def overwrite(content: bytes, random: np.random.Generator) -> bytes:
    """Overwrites a few numbers by extreme ones."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 5)):
        size = int(random.choice([1, 2, 4, 8]))
        value = int(EDGES[random.integers(len(EDGES))]) % (1 << 8 * size)
        place = int(random.integers(max(1, min(len(changed), 20_000) - size)))
        changed[place : place + size] = value.to_bytes(size, "little")
    return bytes(changed)


def splice(content: bytes, random: np.random.Generator) -> bytes:
    """Cuts the file, or removes, doubles or moves a part of it."""
    start, end = sorted(int(n) for n in random.integers(len(content) + 1, size=2))
    part = content[start:end][: 1 << int(random.integers(16))]
    end = start + len(part)
    place = int(random.integers(len(content) + 1))
    return (
        content[:start],
        content[:start] + content[end:],
        content[:end] + part + content[end:],
        content[:place] + part + content[place + len(part) :],
    )[random.integers(4)]


def restructure(content: bytes, random: np.random.Generator) -> bytes:
    """Changes groups, arrays, links, attributes and stored chunks through HDF5."""
    if content.startswith(b"PK"):
        return rezip(content, random)
    buffer = io.BytesIO(content)
    with h5py.File(buffer, "r+") as file:
        for _ in range(random.integers(1, 4)):
            _change(file, random)
    return buffer.getvalue()


def _change(file: h5py.File, random: np.random.Generator) -> None:
    """Makes one change to an open file."""
    names: list[str] = []
    file.visit(names.append)
    if not names:
        return
    name, other = (names[i] for i in random.integers(len(names), size=2))
    item = file[name]
    match random.integers(7):
        case 0:
            del file[name]
        case 1:
            file[f"{name}_{random.integers(10)}"] = item
        case 2:
            del file[name]
            links = [h5py.SoftLink(f"/{other}"), h5py.ExternalLink("/dev/zero", "/")]
            file[name] = links[random.integers(2)]
        case 3:
            value = random.choice(EDGES[:6]) if random.random() < 0.5 else "x" * 70_000
            for key in list(item.attrs)[:1]:
                item.attrs.create(key, value)
        case 4 if isinstance(item, h5py.Dataset):
            array = np.array(item).astype(random.choice(["f2", "f8", "i4", ">f4"]))
            del file[name]
            file.create_dataset(name, data=array, compression="gzip", shuffle=True)
        case 5 if isinstance(item, h5py.Dataset) and item.ndim:
            shape, dtype = item.shape, item.dtype
            del file[name]
            made = file.create_dataset(
                name, shape, dtype, chunks=shape, compression="gzip"
            )
            made.id.write_direct_chunk((0,) * len(shape), random.bytes(99))
        case _:
            file.move(name, f"moved_{random.integers(1000)}")


def rezip(content: bytes, random: np.random.Generator) -> bytes:
    """Packs a ``.keras`` file again with one damaged member, or another compression."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(buffer, "w", random.choice([0, 8])) as target,
    ):
        names = source.namelist()
        chosen = random.choice(names)
        for name in names:
            member = source.read(name)
            if name == chosen:
                member = (flip, overwrite, splice)[random.integers(3)](member, random)
            target.writestr(name, member)
    return buffer.getvalue()


KINDS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "flipped bits": flip,
    "extreme numbers": overwrite,
    "cuts and copies": splice,
    "structure": restructure,
}


@functools.cache
def _unpacked(name: str) -> Path:
    """Unpacks a genuine file, once in a process."""
    return unpack(name, Path(_FOLDER.name))


def make_mutant(seed: int, number: int) -> tuple[str, str, bytes]:
    """Makes a mutant.

    Returns:
        Its kind, the name of the genuine file that it was made from, its contents.
    """
    random = np.random.default_rng([seed, number])
    kind = list(KINDS)[number % len(KINDS)]
    source = str(random.choice(SOURCES))
    content = _unpacked(source).read_bytes()
    try:
        return kind, source, KINDS[kind](content, random)
    except (OSError, ValueError, KeyError, RuntimeError, TypeError):
        return kind, source, flip(content, random)  # a change that HDF5 refuses


def _read(path: Path) -> tuple[str, bytes]:
    """Reads a file as the scorer does: what became of it, and the weights."""
    try:
        contents = read_weights_file(path, start=Fork)
    except MachineError as error:
        return "died", str(error).encode()
    except UserError as error:
        text = str(error)
        if "\n" in text or not text.startswith(str(path)) or not text.isprintable():
            return f"no line: {text[:200]!r}", b""
        if "reading it took more than" in text:
            return "limit", b""
        return ("died" if "the process that reads it died" in text else "refused"), b""
    except Exception as error:
        return f"traceback: {error!r}", b""
    return "accepted", contents.parameters.vector.tobytes()


def try_mutant(
    seed: int,
    number: int,
    kept: Path | None = None,
    memory: Callable[[], int] | None = None,
) -> Outcome:
    """Makes a mutant and reads it.

    Args:
        seed: The run's.
        number: The mutant's.
        kept: Where a mutant is kept that breaks a rule.
        memory: Measures the bytes that reading has taken, in a process that starts no
            others.
    """
    kind, source, content = make_mutant(seed, number)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, source)
        path.write_bytes(content)
        result, weights = _read(path)
        if result == "accepted" and _read(path) != (result, weights):
            result = "a second reading differs"
    if memory is not None and memory() > LIMITS.memory + LIBRARIES:
        result = f"took {memory() >> 20:,} MiB"
    if result not in ALLOWED and kept:
        kept.joinpath(f"{seed}-{number}-{source}").write_bytes(content)
    return Outcome(kind, number, result, memory() if memory else 0)


def memory_of_children() -> int:
    """Returns the most bytes that a process which this one started has taken so far."""
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return kilobytes << (10 if sys.platform == "linux" else 0)


def _read_finished(path: Path) -> Iterator[Outcome]:
    """Yields the outcomes that an earlier run has written; its last line may be cut."""
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield Outcome(*json.loads(line))
            except (ValueError, TypeError):
                continue


def fuzz(seed: int, mutants: int, folder: Path | None = None) -> list[Outcome]:
    """Reads mutants, in as many processes as there are processors.

    Args:
        seed: Of all mutants.
        mutants: How many.
        folder: Where outcomes and mutants that break a rule are kept; without it, in
            fuzz/ and the commit's name, because other code may read them otherwise.

    Returns:
        An outcome for each.
    """
    if folder is None:
        folder = ROOT / "fuzz" / str(machine.describe()["commit"])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"outcomes-{seed}.jsonl"
    outcomes = [done for done in _read_finished(path) if done.number < mutants]
    left = sorted({*range(mutants)} - {done.number for done in outcomes})
    with (
        path.open("a", encoding="utf-8") as file,
        multiprocessing.get_context("forkserver").Pool(os.cpu_count()) as pool,
    ):
        arguments = [(seed, number, folder) for number in left]
        for outcome in pool.imap_unordered(_try_one, arguments, chunksize=8):
            outcomes.append(outcome)
            file.write(json.dumps(outcome) + "\n")
            file.flush()
    return outcomes


def _try_one(arguments: tuple[int, int, Path]) -> Outcome:
    return try_mutant(*arguments, memory=memory_of_children)


def count(outcomes: list[Outcome]) -> str:
    """Tabulates the outcomes by kind, in Markdown."""
    counts = collections.Counter((x.kind, x.result) for x in outcomes)
    results = [*ALLOWED, *sorted({x.result for x in outcomes} - {*ALLOWED})]
    rows = [
        [kind, *(f"{counts[kind, result]:,}" for result in results)] for kind in KINDS
    ]
    most = max(outcome.memory for outcome in outcomes)
    return (
        f"{markdown_table(['mutants', *results], rows)}\n"
        f"At most {most >> 20:,} MiB in a process that read mutants.\n"
    )


def main() -> int:
    """Runs the fuzzer; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=MUTANTS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcomes = fuzz(options.seed, options.mutants)
    print(count(outcomes))
    return int(any(outcome.result not in ALLOWED for outcome in outcomes))


if __name__ == "__main__":
    with checked_output():
        sys.exit(main())

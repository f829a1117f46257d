"""Latency of networks in several runtimes, measured against each other.

All contenders run in one process and take turns, so that they meet the same machine;
each number of threads has its own process, because TensorFlow fixes it at its start.
"""

import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shears.inference.c_code import CCode, write_c
from shears.inference.compact_network import CompactNetwork
from shears.inference.compiled import CompiledNetwork, compile_c
from shears.inference.peak import measure_peak, peak_memory
from shears.inference.runtimes import Predict, open_keras, open_litert, open_onnx
from shears.runtime.errors import UserError
from shears.runtime.lock import end_with_run

BATCHES = (1, 32, 256)
#: Timed calls in a turn of each contender; an untimed one comes first.
CALLS = {1: 5}
KERAS, FUNCTION = "Keras predict", "tf.function"
ONNX, LITERT, C = "ONNX Runtime", "LiteRT", "C"
#: All that a network can be measured in.
RUNTIMES = (KERAS, FUNCTION, ONNX, LITERT, C)
SUFFIXES = {KERAS: "keras", FUNCTION: "npz", ONNX: "onnx", LITERT: "tflite", C: "so"}
#: With more nonzeros than this, C code is long and slow: it is not made.
MOST_IN_C = 320_000
LONGEST = 3600  # seconds for one process, and for each 100 turns


class Contender(NamedTuple):
    """A network in a runtime.

    Attributes:
        network: Its name.
        runtime: One of `RUNTIMES`.
    """

    network: str
    runtime: str


class Timing(NamedTuple):
    """How long a contender's calls took.

    Attributes:
        network: As in `Contender`.
        runtime: As in `Contender`.
        threads: Number of threads.
        batch: Images in a call.
        calls: Timed calls.
        median: Microseconds of a call.
        p95: Their 95th percentile.
        images_per_second: At the median.
    """

    network: str
    runtime: str
    threads: int
    batch: int
    calls: int
    median: float
    p95: float
    images_per_second: float


def export_contender(
    contender: Contender, network: CompactNetwork, folder: Path
) -> None:
    """Writes the file that a contender is opened from.

    Args:
        contender: Which one.
        network: Its network.
        folder: Where; the file is named after the contender.

    Raises:
        UserError: Its runtime is not installed, or there is no C compiler.
    """
    # Imports TensorFlow, which the measuring processes do without where they can.
    from shears.inference.export import to_keras, to_litert, to_onnx

    path = _path(contender, folder)
    if contender.runtime == C:
        code = write_c(network)
        compile_c(code, folder).library.replace(path)
        about = {**code._asdict(), "source": "", "header": ""}
        path.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")
    elif contender.runtime == FUNCTION:
        arrays = [*network.kernels, *network.biases]
        named: dict[str, Any] = {f"a{i:02}": array for i, array in enumerate(arrays)}
        np.savez(path, **named)
    else:
        export = {KERAS: to_keras, ONNX: to_onnx, LITERT: to_litert}[contender.runtime]
        path.write_bytes(export(network))


def _path(contender: Contender, folder: Path) -> Path:
    suffix = SUFFIXES[contender.runtime]
    return folder / f"{contender.network.replace('/', '-')}.{suffix}"


def open_contender(contender: Contender, folder: Path, threads: int) -> Predict:
    """Opens what `export_contender` wrote.

    Raises:
        UserError: Its runtime is not installed.
    """
    path = _path(contender, folder)
    match contender.runtime:
        case "C":
            about = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            compiled = CompiledNetwork(CCode(**about), path)
            return lambda images: compiled.predict(images, threads)
        case "ONNX Runtime":
            return open_onnx(path.read_bytes(), threads)
        case "LiteRT":
            return open_litert(path.read_bytes(), threads)
        case "Keras predict":
            return open_keras(path.read_bytes())
    return _open_function(path)


def _open_function(path: Path) -> Predict:
    """Compiles a network as a TensorFlow function of its own."""
    from shears.inference.compaction import logits
    from shears.runtime.backend import tf

    with np.load(path) as file:
        arrays = [file[name] for name in sorted(file)]
    network = CompactNetwork(tuple(arrays[:6]), tuple(arrays[6:]))
    function = tf.function(lambda images: logits(network, images), autograph=False)
    return lambda images: function(tf.constant(images)).numpy()


def time_calls(
    predicts: Mapping[Contender, Callable[[np.ndarray], Any]],
    images: np.ndarray,
    runs: int,
) -> dict[Contender, list[float]]:
    """Times contenders that take turns, in a new random order each time.

    Args:
        predicts: What to call.
        images: A batch.
        runs: Turns of each.

    Returns:
        Seconds of each call.
    """
    order, chance = list(predicts), random.Random(0)
    seconds: dict[Contender, list[float]] = {contender: [] for contender in order}
    for predict in predicts.values():  # memory is allocated, code is compiled
        predict(images)
    for _ in range(runs):
        chance.shuffle(order)
        for contender in order:
            predict = predicts[contender]
            predict(images)  # it finds its data in the caches again
            for _ in range(CALLS.get(len(images), 1)):
                start = time.perf_counter()
                predict(images)
                seconds[contender].append(time.perf_counter() - start)
    return seconds


def run_process(
    folder: Path,
    contenders: Sequence[Contender],
    threads: int,
    batches: Sequence[int],
    runs: int,
) -> dict[str, Any]:
    """Measures contenders in a process of their own.

    Args:
        folder: Where `export_contender` wrote them, and ``images.npy``.
        contenders: Which.
        threads: For each.
        batches: Sizes.
        runs: Turns of each contender for each size.

    Returns:
        "timings" (`Timing`), "peak" (`measure_peak`; only if there are timings) and
        "memory": the largest number of bytes that the process took.

    Raises:
        RuntimeError: The process fails.
        UserError: It takes too long.
    """
    request = {
        "folder": str(folder),
        "contenders": contenders,
        "threads": threads,
        "batches": list(batches),
        "runs": runs,
    }
    numbers = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    environment = os.environ | {name: str(threads) for name in numbers}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    longest = min(LONGEST * max(1.0, runs / 100), 1e6)  # poll() takes no more than 2e6
    module = "shears.inference.latency"
    try:
        process = subprocess.run(
            # -P: a file random.py in the current folder is not for us.
            [sys.executable, "-P", "-m", module, json.dumps(request)],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env=environment,
            timeout=longest,
        )
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{runs} turns of each network took more than {longest:,.0f} seconds: give "
            "fewer (--runs, latency: runs)"
        ) from None
    if process.returncode:
        code, said = process.returncode, process.stderr[-2000:]
        raise RuntimeError(f"the process that measures ended with {code}: {said}")
    return json.loads(process.stdout.splitlines()[-1])


def _answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """Is the process that `run_process` starts."""
    contenders = [Contender(*names) for names in request["contenders"]]
    folder, threads = Path(request["folder"]), request["threads"]
    if {KERAS, FUNCTION} & {contender.runtime for contender in contenders}:
        from shears.runtime import device

        device.prepare(threads)
    images = np.load(folder / "images.npy")
    predicts = {
        contender: open_contender(contender, folder, threads)
        for contender in contenders
    }
    timings = []
    for batch in request["batches"]:
        chosen = np.resize(images, (batch, *images.shape[1:]))
        for contender, times in time_calls(predicts, chosen, request["runs"]).items():
            if not times:  # only the memory is asked for
                continue
            median, p95 = (1e6 * float(np.percentile(times, at)) for at in (50, 95))
            rate = 1e6 * batch / median
            timing = Timing(*contender, threads, batch, len(times), median, p95, rate)
            timings.append(timing._asdict())
    memory = peak_memory()
    peak = measure_peak() if request["runs"] else {}
    return {"timings": timings, "peak": peak, "memory": memory}


def file_sizes(contender: Contender, folder: Path) -> dict[str, int]:
    """Returns the size of a contender's file in bytes, as it is and by gzip."""
    content = _path(contender, folder).read_bytes()
    return {"bytes": len(content), "gzip_bytes": len(gzip.compress(content, 9))}


def export_all(
    networks: Mapping[Contender, CompactNetwork], folder: Path
) -> tuple[list[Contender], dict[str, str]]:
    """Writes the contenders' files.

    Returns:
        Those that can be measured here, and for each runtime that is missing why.
    """
    able, missing = [], {}
    for contender, network in networks.items():
        if contender.runtime in missing:
            continue
        try:
            export_contender(contender, network, folder)
            if contender.runtime in (ONNX, LITERT):  # exports need less than they do
                open_contender(contender, folder, 1)
        except UserError as error:
            missing[contender.runtime] = str(error)
        else:
            able.append(contender)
    return able, missing


def measure_contenders(
    networks: Mapping[Contender, CompactNetwork],
    images: np.ndarray,
    runs: int,
    threads_at_most: int,
) -> dict[str, Any]:
    """Measures contenders: latency, sizes and memory.

    Args:
        networks: The contenders and their networks.
        images: (N, 32, 32, 3) float32; batches are taken from the first ones.
        runs: Turns of each contender for each size of batch and number of threads.
        threads_at_most: What is measured besides one thread.

    Returns:
        A dictionary of "contenders" (for each its names, "bytes", "gzip_bytes" and
        "memory", the most that a process takes that does nothing but compute an image
        with it; only for the last network in each runtime, otherwise None), "timings"
        (`Timing`), "peaks" (`measure_peak` for each number of threads) and "missing"
        (the runtimes that are not installed, and why).
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", images)
        able, missing = export_all(networks, folder)
        timings, peaks = [], []
        for threads in sorted({1, threads_at_most}):
            result = run_process(folder, able, threads, BATCHES, runs)
            timings += result["timings"]
            peaks.append({"threads": threads, **result["peak"]})
        # Of one network in each runtime: it hardly depends on which.
        last = {contender.runtime: contender for contender in able}
        memory = {
            contender: run_process(folder, [contender], 1, [1], 0)["memory"]
            for contender in last.values()
        }
        contenders = [
            {
                **contender._asdict(),
                **file_sizes(contender, folder),
                "memory": memory.get(contender),
            }
            for contender in able
        ]
    return {
        "contenders": contenders,
        "timings": timings,
        "peaks": peaks,
        "missing": missing,
    }


def measure_alone(
    networks: Mapping[Contender, CompactNetwork], image: np.ndarray, runs: int
) -> list[dict[str, Any]]:
    """Measures contenders on one image at a time in one thread.

    Args:
        networks: The contenders and their networks.
        image: (1, 32, 32, 3) float32.
        runs: Turns of each contender.

    Returns:
        For each that can be measured here a `Timing` as a dictionary.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", image)
        able, _ = export_all(networks, folder)
        return run_process(folder, able, 1, [1], runs)["timings"]


if __name__ == "__main__":
    end_with_run()
    print(json.dumps(_answer(json.loads(sys.argv[1]))))

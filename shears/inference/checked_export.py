"""Exports that are compared with the network before anything is written."""

import errno
import os
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shears.inference.c_code import write_c
from shears.inference.compact_network import CompactNetwork
from shears.inference.compaction import BATCH, TOLERANCE, compute_logits
from shears.inference.compiled import compile_c, find_compiler
from shears.inference.export import to_keras, to_litert, to_onnx
from shears.inference.runtimes import Predict, open_keras, open_litert, open_onnx
from shears.runtime.backend import quiet
from shears.runtime.errors import UserError
from shears.runtime.files import whole_file

#: The formats, and the suffixes of their files.
FORMATS = {
    "c": (".c", ".h"),
    "onnx": (".onnx",),
    "tflite": (".tflite",),
    "tflite-int8": (".int8.tflite",),
    "keras": (".keras",),
}


class Export(NamedTuple):
    """An export, and how it compares with the network.

    Attributes:
        files: Contents by suffix.
        difference: The largest difference of an output from the network's, computed in
            float64: of logits, or of probabilities for Keras. None if it could not be
            run.
        predictions: (N,) the classes that it predicts; those of the network if it could
            not be run.
        unchecked: Why it could not be run; empty if it was.
    """

    files: Mapping[str, bytes]
    difference: float | None
    predictions: np.ndarray
    unchecked: str


def export_and_check(
    network: CompactNetwork,
    kind: str,
    images: np.ndarray,
    *,
    name: str = "shears",
    calibration: np.ndarray | None = None,
) -> Export:
    """Exports a network and runs the export on images.

    Args:
        network: The network.
        kind: One of `FORMATS`.
        images: (N, 32, 32, 3) float32, pixels / 255: what it is compared on.
        name: Of the functions in C code, a C identifier.
        calibration: (M, 32, 32, 3) float32: training images for "tflite-int8", which
            needs them; the others do without.

    Returns:
        The export. C code cannot be run without a compiler.

    Raises:
        UserError: A package is not installed, the C compiler fails, LiteRT's int8
            kernels do not take the model, or float32 is not enough for the network.
        ValueError: There are no images to calibrate "tflite-int8".
        RuntimeError: An output differs by more than `TOLERANCE`, times the largest
            logit where that is above 1: a fault of the export. Not for int8, which
            rounds.
    """
    exact = kind != "tflite-int8"
    if not exact and calibration is None:
        raise ValueError("calibration: found none, expected training images")
    expected = compute_logits(network, images)
    first, *others = FORMATS[kind]
    if kind == "c":
        code = write_c(network, name)
        files = {first: code.source.encode(), others[0]: code.header.encode()}
        if find_compiler() is None:
            reason = "there is no C compiler here"
            return Export(files, None, expected.argmax(1), reason)
        with tempfile.TemporaryDirectory() as folder:
            compiled = compile_c(code, folder)
            return _compare(network, files, compiled.predict, images, expected)
    with quiet():
        if kind == "onnx":
            files = {first: to_onnx(network)}
            predict = open_onnx(files[first])
        elif kind == "keras":
            files = {first: to_keras(network)}
            predict = open_keras(files[first])
        else:
            files = {first: to_litert(network, None if exact else calibration)}
            predict = open_litert(files[first])
        try:
            return _compare(network, files, predict, images, expected, kind)
        except UserError as error:
            refusal = error
    raise refusal  # alone: outside, what the runtime printed is not shown


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _compare(
    network: CompactNetwork,
    files: Mapping[str, bytes],
    predict: Predict,
    images: np.ndarray,
    expected: np.ndarray,
    kind: str = "c",
) -> Export:
    """Compares an export's outputs with those of the network; `expected` are logits."""
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    outputs = np.concatenate([predict(batch) for batch in batches])
    tolerance = TOLERANCE * max(1.0, np.abs(expected).max())
    finish = _softmax if kind == "keras" else np.asarray
    if kind == "keras":  # a softmax's outputs differ by no more than its logits
        tolerance = min(tolerance, 0.1)
    wanted = finish(expected)
    difference = float(np.abs(outputs - wanted).max())
    if kind != "tflite-int8" and not difference <= tolerance:
        rounded = finish(compute_logits(network, images, np.float32))
        if not np.abs(rounded - wanted).max() <= tolerance:
            raise UserError(
                "the network's outputs cannot be computed in float32, as in every "
                "export: its weights are too large or too different in size"
            )
        raise RuntimeError(
            f"the export's outputs differ by {difference:.2g}, expected at most "
            f"{tolerance:.2g}"
        )
    return Export(files, difference, outputs.argmax(1), "")


def paths_of(kind: str, target: Path) -> list[Path]:
    """Returns the paths of an export's files; `target` is without suffix."""
    return [target.with_name(target.name + suffix) for suffix in FORMATS[kind]]


def write_export(files: Mapping[str, bytes], target: Path) -> list[Path]:
    """Writes an export's files whole; if one cannot be written, none has its name.

    Args:
        files: Contents by suffix.
        target: Their path without suffix.

    Returns:
        The paths.

    Raises:
        OSError: One cannot be written.
    """
    paths = [target.with_name(target.name + suffix) for suffix in files]
    for path in filter(Path.is_dir, paths):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    with ExitStack() as stack:
        for path, content in zip(paths, files.values(), strict=True):
            file = stack.enter_context(whole_file(path))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a full disk is met before any has its name
    return paths

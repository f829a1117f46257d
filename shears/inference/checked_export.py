"""Exports that are compared with the network before anything is written."""

import tempfile
from collections.abc import Mapping
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
        calibration: (M, 32, 32, 3) float32: training images for "tflite-int8".

    Returns:
        The export. C code cannot be run without a compiler.

    Raises:
        UserError: A package is not installed, or the C compiler fails.
        RuntimeError: An output differs by more than `TOLERANCE`, times the largest
            where that is above 1: a fault of the export. Not for int8, which rounds.
    """
    expected = compute_logits(network, images)
    first, *others = FORMATS[kind]
    if kind == "c":
        code = write_c(network, name)
        files = {first: code.source.encode(), others[0]: code.header.encode()}
        if find_compiler() is None:
            reason = "there is no C compiler here"
            return Export(files, None, expected.argmax(1), reason)
        with tempfile.TemporaryDirectory() as folder:
            return _compare(files, compile_c(code, folder).predict, images, expected)
    with quiet():
        if kind == "onnx":
            files = {first: to_onnx(network)}
            predict = open_onnx(files[first])
        elif kind == "keras":
            files = {first: to_keras(network)}
            predict = open_keras(files[first])
            expected = np.exp(expected - expected.max(1, keepdims=True))
            expected /= expected.sum(1, keepdims=True)
        else:
            files = {first: to_litert(network, calibration)}
            predict = open_litert(files[first])
        return _compare(files, predict, images, expected, exact=calibration is None)


def _compare(
    files: Mapping[str, bytes],
    predict: Predict,
    images: np.ndarray,
    expected: np.ndarray,
    *,
    exact: bool = True,
) -> Export:
    """Compares an export's outputs with those of the network."""
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    outputs = np.concatenate([predict(batch) for batch in batches])
    difference = float(np.abs(outputs - expected).max())
    tolerance = TOLERANCE * max(1.0, np.abs(expected).max())
    if exact and not difference <= tolerance:
        raise RuntimeError(
            f"the export's outputs differ by {difference:.2g}, expected at most "
            f"{tolerance:.2g}"
        )
    return Export(files, difference, outputs.argmax(1), "")


def write_export(files: Mapping[str, bytes], target: Path) -> list[Path]:
    """Writes an export's files, each whole or not at all.

    Args:
        files: Contents by suffix.
        target: Their path without suffix.

    Returns:
        The paths.

    Raises:
        OSError: One cannot be written.
    """
    paths = []
    for suffix, content in files.items():
        paths.append(target.with_name(target.name + suffix))
        with whole_file(paths[-1]) as file:
            file.write(content)
    return paths

"""Scores a class's weights files, each once.

A file is read by the scorer's reader in a process of its own, within limits. A score
is kept under the file's checksum, so a later run scores only what is new, and a run
that was killed continues. A refused file is read again: it may have been the moment's
fault, such as a program that had the file open or a machine that was too busy.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from shears.data.dataset import Split
from shears.model.parameters import Parameters
from shears.runtime.code_digest import code_digest
from shears.runtime.errors import RefusedFile, UserError, without_name
from shears.runtime.files import checksum, write_json
from shears.runtime.walls import Copies, Limits
from shears.weight_files.reader import LIMITS, WeightsFile, read_weights_file

PACKAGE = Path(__file__).parents[1]
#: Masks of fewer zeros say nothing about where a network comes from.
LEAST_ZEROS = 0.01
READER = "shears.weight_files.reader"
Reader = Callable[[Path], WeightsFile]


@dataclass(frozen=True)
class Scored:
    """What is known about a file.

    Attributes:
        sha256: Of its bytes.
        bytes: Its size.
        refused: Why it is not scored, in one line without its name; None if it is. The
            other values are None then.
        images: Number of test images.
        correct: How many are classified correctly.
        accuracy: Their fraction.
        zeros: Number of weights that are zero.
        sparsity: Their fraction.
        score: The assignment's score.
        weights: A digest of the weights, whatever the layout of their file.
        mask: A digest of which weights are zero; None if fewer than 1 % are.
    """

    sha256: str
    bytes: int
    refused: str | None = None
    images: int | None = None
    correct: int | None = None
    accuracy: float | None = None
    zeros: int | None = None
    sparsity: float | None = None
    score: float | None = None
    weights: str | None = None
    mask: str | None = None


class _Tester:
    """Scores networks on the test images; TensorFlow is imported for the first one."""

    def __init__(self, test: Callable[[], Split]) -> None:
        self._read = test

    @cached_property
    def _images(self) -> tuple[Any, np.ndarray]:
        from shears.evaluation.screening import Screen

        data = self._read()
        return Screen(data), data.labels

    def score(self, parameters: Parameters) -> dict[str, Any]:
        from shears.evaluation.grading import grade

        screen, labels = self._images
        return grade(parameters, screen.predict(parameters), labels)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def _fingerprint(path: Path) -> tuple[str, int]:
    """Returns a file's sha256 and size; raises `RefusedFile` if it cannot be read."""
    try:
        return checksum(path), os.path.getsize(path)
    except OSError as error:
        raise RefusedFile(str(error.strerror or error)) from None
    except UserError as error:
        raise RefusedFile(str(error)) from None


def _score(path: Path, known: Scored, tester: _Tester, read: Reader) -> Scored:
    """Reads and scores a file, of which sha256 and size are known."""
    try:
        parameters = read(path).parameters
    except RefusedFile as error:
        return replace(known, refused=without_name(path, error))
    result = tester.score(parameters)
    names = {field.name for field in fields(Scored)}
    is_zero = parameters.vector == 0
    # Adding zero makes -0.0 and 0.0 the same bytes.
    return replace(
        known,
        weights=_digest(parameters.vector + np.float32(0)),
        mask=_digest(np.packbits(is_zero)) if is_zero.mean() >= LEAST_ZEROS else None,
        **{name: value for name, value in result.items() if name in names},
    )


def _read_kept(place: Path, sha256: str) -> Scored | None:
    """Reads what an earlier run found; None if there is nothing to use."""
    try:
        kept = Scored(**json.loads(place.read_text(encoding="utf-8")))
        return kept if kept.sha256 == sha256 else None
    except (OSError, ValueError, TypeError):
        return None


def score_files(
    paths: Sequence[Path],
    test: Callable[[], Split],
    *,
    images: str,
    cache: Path,
    limits: Limits = LIMITS,
) -> Iterator[tuple[Path, Scored, bool]]:
    """Scores files on the test images, each of the same bytes once.

    Args:
        paths: The files.
        test: Reads the test images; called only if a file is new.
        images: A digest of the test images.
        cache: Folder that the scores are kept in, a file for each checksum. Those on
            other images or by another version of the scorer are not used.
        limits: What reading a file may take.

    Yields:
        For each path in order: the path, what is known, whether it was known before.

    Raises:
        UserError: The test images cannot be read.
        MachineError: A file cannot be read, which is not its fault; those before it
            are kept.
        OSError: The cache cannot be written.
    """
    scorer = code_digest(__file__, PACKAGE.parent)
    folder = cache / hashlib.sha256(f"{images}\n{scorer}".encode()).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    tester = _Tester(test)
    with Copies(READER) as copies:

        def read(path: Path) -> WeightsFile:
            return read_weights_file(path, limits, copies.start)

        for path in paths:
            try:
                known = Scored(*_fingerprint(path))
                place = folder / f"{known.sha256}.json"
                kept = _read_kept(place, known.sha256)
                if kept:
                    yield path, kept, True
                    continue
                scored = _score(path, known, tester, read)
                if _fingerprint(path) != (known.sha256, known.bytes):
                    raise RefusedFile("it changed while it was read; run again")
            except RefusedFile as error:
                yield path, Scored("", 0, without_name(path, error)), False
                continue
            if scored.refused is None:
                write_json(place, asdict(scored))
            yield path, scored, False

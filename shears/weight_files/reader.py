"""Reads anyone's weights file as raw HDF5: nothing in it is run or trusted.

Keras writers since TensorFlow 2.1 use one of these layouts:

- Keras 2, weights: the root names its layers (``layer_names``), each group its
  arrays (``weight_names``).
- Keras 2, whole model (Keras 3 writes it too, if the name ends in ``.h5``): the same in
  the group ``model_weights``, and ``model_config`` at the root.
- Keras 3, weights (``.weights.h5``): ``layers/<kind>/vars/<number>``; TensorFlow 2.13
  used another name for ``layers``.
- Keras 3, whole model (``.keras``): a zip archive of such a file and of the model's
  description (`shears.weight_files.keras_archive`).

A file's contents decide which one it is, not its name. What no loader reads is passed
over and listed: the state of an optimizer, of metrics or of random numbers, arrays that
no layer names, layers that do nothing at inference. Anything else is refused.
"""

import io
import json
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from shears.model.architecture import PARAMETERS
from shears.model.parameters import Parameters
from shears.runtime.errors import MachineError, RefusedFile, UserError, brief
from shears.runtime.files import open_regular
from shears.runtime.hdf5 import open_hdf5
from shears.runtime.walls import Limits, Start, call, start_python
from shears.weight_files import keras_archive
from shears.weight_files.keras_archive import KerasArchive
from shears.weight_files.layouts import (
    GRADERS,
    KERAS_3,
    find_root,
    read_keras_2,
    read_keras_3,
)
from shears.weight_files.load_model import NONE, model_graders
from shears.weight_files.model_config import ModelDescription, check_model_config
from shears.weight_files.untrusted_hdf5 import (
    InspectedFile,
    UnfitArrays,
    attribute_keys,
    has_unicode,
    read_text,
)

# Groups at the root that no weights loader reads.
PASSED_OVER = {
    "optimizer_weights": "the optimizer's state",  # Keras 2's
    "optimizer": "the optimizer's state",  # Keras 3's
    "metrics": "the metrics' state",
}
#: The layout of a ``.keras`` file, by a group at the root of its weights.
ARCHIVES = {
    "layers": "Keras 3 model",
    "_layer_checkpoint_dependencies": "TensorFlow 2.13 model",
}
UNKNOWN = "of an unknown version"  #: of Keras, if a file does not say what wrote it
EXPECTED = "a weights file"
ADVICE = "save the network with Keras as .h5 or .keras"
MOST_BYTES = 1 << 30  # of a file; the weights and an optimizer's state have 20 million
#: What reading a stranger's file may take; a good one takes a tenth of a second.
LIMITS = Limits(processor=10, wall=30)
NO_MEMORY = "memory allocation failed"  # what HDF5 says then
INTERNAL = (NameError, SystemError, AssertionError)  # faults of h5py's own code
MODEL_WEIGHTS = "model_weights"  # the group of the layers in a whole model of Keras 2
MOST_NOTED = 5  # arrays that are listed though no layer names them


class WeightsFile(NamedTuple):
    """What a weights file holds.

    Attributes:
        parameters: float32, finite, without denormals.
        layout: "Keras 2 weights", "Keras 2 model", or one of
            `shears.weight_files.layouts.KERAS_3` or `ARCHIVES`.
        writer: The version of Keras that wrote it, or `UNKNOWN`.
        described: Whether it describes its model, which is then the fixed network.
        ignored: Other contents, which do not count for the fixed network.
        weights_in: The graders whose ``load_weights`` gives these weights, if the
            file's name suits its layout.
        model_in: The graders whose ``load_model`` does.
    """

    parameters: Parameters
    layout: str
    writer: str
    described: bool
    ignored: list[str]
    weights_in: frozenset[str]
    model_in: frozenset[str]


def _note_unused(source: InspectedFile, used: set[str]) -> None:
    """Notes the arrays that no loader of Keras 2's layout reads."""
    unused = [place for place in source.data if place not in used]
    for place in unused[:MOST_NOTED]:
        source.ignored.append(f"the array {brief(place, 120)}, which no layer names")
    if len(unused) > MOST_NOTED:
        source.ignored.append(f"{len(unused) - MOST_NOTED:,} more such arrays")


def _same(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    """Returns whether two lists of arrays are equal."""
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def _read_keras_2(
    source: InspectedFile, description: ModelDescription | None
) -> WeightsFile:
    """Reads a file in Keras 2's layout.

    ``load_weights`` reads the root if it has layers, otherwise ``model_weights``;
    ``load_model`` always reads the latter.
    """
    file = source.file
    nested = MODEL_WEIGHTS in source.groups
    path = MODEL_WEIGHTS if nested and "layer_names" not in file.attrs else ""
    read = read_keras_2(source, path)
    used, in_model = set(read.used), NONE
    if nested and description is not None:
        training = read_text(file, "training_config", "")
        in_model = model_graders(description, training, archive=False)
        texts = ("model_config", "training_config")
        if any(has_unicode(file, key) for key in texts):
            in_model -= {GRADERS[0]}
        try:
            other = read if path else read_keras_2(source, MODEL_WEIGHTS)
        except UserError as error:
            if in_model and isinstance(error, UnfitArrays):
                raise
            in_model = NONE
            source.ignored.append(f"what load_model would refuse ({error})")
            used |= {p for p in source.data if p.startswith(f"{MODEL_WEIGHTS}/")}
        else:
            if not _same(read.arrays, other.arrays):
                raise UserError(
                    f"{MODEL_WEIGHTS}: found weights that differ from those at the "
                    "root, expected the same: load_model and load_weights would "
                    "disagree"
                )
            used |= other.used
            in_model &= other.graders
    _note_unused(source, used)
    owner = source.groups[path] if path else file
    version = read_text(owner, "keras_version", "") or read_text(
        file, "keras_version", ""
    )
    return WeightsFile(
        Parameters.from_arrays(read.arrays),
        "Keras 2 model" if path else "Keras 2 weights",
        brief(version or UNKNOWN),
        description is not None,
        source.ignored + (description.passed_over if description else []),
        read.graders,
        in_model,
    )


def _read(source: InspectedFile) -> WeightsFile:
    """Reads an inspected file."""
    config = read_text(source.file, "model_config", "")
    description = None if config is None else check_model_config(config)
    keras_2 = attribute_keys(source.file, "layer_names")
    if keras_2 or MODEL_WEIGHTS in source.file:
        return _read_keras_2(source, description)
    root = find_root(source)
    read = read_keras_3(source, root)
    return WeightsFile(
        Parameters.from_arrays(read.arrays),
        KERAS_3[root],
        "3" if root == "layers" else "2.13",
        description is not None,
        source.ignored + (description.passed_over if description else []),
        read.graders,
        NONE,
    )


def _read_archive(archive: KerasArchive) -> WeightsFile:
    """Reads what a ``.keras`` file holds."""
    description = check_model_config(archive.config, keras_archive.CONFIG)
    try:
        with open_hdf5(io.BytesIO(archive.weights)) as file:
            source = InspectedFile(file, PASSED_OVER)
            root = find_root(source)
            read = read_keras_3(source, root)
    except UserError as error:
        raise UserError(f"{keras_archive.WEIGHTS}: {error}") from None
    training = json.dumps(description.model.get("compile_config"))
    return WeightsFile(
        Parameters.from_arrays(read.arrays),
        ARCHIVES[root],
        brief(archive.writer or UNKNOWN),
        True,
        source.ignored + description.passed_over,
        read.graders,
        model_graders(description, training, archive=True) & read.graders,
    )


def read_contents(file: BinaryIO) -> WeightsFile:
    """Reads a weights file of any Keras writer in this process.

    For files that the workflow has written; a stranger's is for `read_weights_file`.

    Raises:
        UserError: It does not hold exactly the fixed network's weights. One line gives
            the place, what was found and what was expected, but not the file's name.
        OSError: It cannot be read, or another program has it open for writing.
    """
    try:
        size = os.fstat(file.fileno()).st_size
        if not size:
            raise UserError("found an empty file, expected a weights file")
        if size > MOST_BYTES:
            raise UserError(f"found {size:,} bytes, expected at most {MOST_BYTES:,}")
        if keras_archive.is_archive(file):
            contents = _read_archive(keras_archive.read_keras_archive(file))
        else:
            with open_hdf5(file) as opened:
                contents = _read(InspectedFile(opened, PASSED_OVER))
        # Notes quote names from the file, which may be any bytes of any length.
        return contents._replace(ignored=[brief(x, 300) for x in contents.ignored])
    except UserError as error:
        # The place is the file's, and may have any length; the reason follows it.
        raise UserError(brief(error, 300, end=220)) from None
    except (MemoryError, OSError):  # the file's contents are not to blame
        raise
    except Exception as error:  # h5py raises nearly anything on a damaged file
        # What fails inside h5py, and not in HDF5, says nothing about the file.
        why = type(error).__name__ if isinstance(error, INTERNAL) else brief(error)
        raise UserError(
            f"not readable as HDF5 ({why}): it is cut off, damaged or another kind of "
            f"file; {ADVICE}"
        ) from error


def answer(file: BinaryIO) -> bytes:
    """Reads a stranger's file behind walls: what `read_weights_file` calls there.

    Returns:
        A line of JSON, then the parameters' bytes.

    Raises:
        UserError: As `read_contents` does, or the file cannot be read.
    """
    try:
        contents = read_contents(file)
    except OSError as error:
        raise UserError(f"{error.strerror or error}; expected {EXPECTED}") from None
    except UserError as error:
        if NO_MEMORY in str(error.__cause__):  # here memory has a limit
            raise MemoryError from error
        raise
    about = contents._asdict()
    vector = about.pop("parameters").vector
    about |= {key: sorted(about[key]) for key in ("weights_in", "model_in")}
    return json.dumps(about).encode() + b"\n" + vector.tobytes()


def _parse(answered: bytes) -> WeightsFile:
    """Parses what `answer` returned, without trusting it.

    Raises:
        ValueError: It is no network.
    """
    header, _, content = answered.partition(b"\n")
    vector = np.frombuffer(content, np.float32).copy()
    about = json.loads(header)
    graders = {key: frozenset(about[key]) for key in ("weights_in", "model_in")}
    if (
        about.keys() != {*WeightsFile._fields} - {"parameters"}
        or {type(about[key]) for key in ("layout", "writer")} != {str}
        or type(about["described"]) is not bool
        or not {*map(type, about["ignored"])} <= {str}
        or not frozenset.union(*graders.values()) <= {*GRADERS}
        or len(vector) != PARAMETERS
        or not np.isfinite(vector).all()
    ):
        raise ValueError("no description of the fixed network")
    return WeightsFile(Parameters(vector), **about | graders)


def read_weights_file(
    path: str | Path, limits: Limits = LIMITS, start: Start = start_python
) -> WeightsFile:
    """Reads a stranger's weights file behind walls (`shears.runtime.walls`).

    Args:
        path: The file.
        limits: What reading may take.
        start: How the process that reads it is started.

    Raises:
        RefusedFile: It cannot be read, does not hold exactly the fixed network's
            weights, or reading it came to a limit. The error names it.
        MachineError: It cannot be read here and now, which is not its fault.
    """
    try:
        with open_regular(path, f"{EXPECTED}: {ADVICE}") as file:
            try:
                return _parse(call(f"{__name__}:answer", file, limits, start))
            except MachineError as error:
                raise MachineError(f"{path}: {error}") from error
            except UserError as error:
                raise RefusedFile(f"{path}: {error}") from error
    except (MachineError, RefusedFile):
        raise
    except UserError as error:  # no regular file
        raise RefusedFile(str(error)) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise RefusedFile(
            f"{path}: reading it gave no network: it is damaged or made to do harm"
        ) from None
    except OSError as error:
        if os.path.exists(f"{path}.index"):
            raise RefusedFile(
                f"{path}: found a checkpoint of TensorFlow, expected {EXPECTED}: "
                f"restore it and {ADVICE}"
            ) from None
        raise RefusedFile(
            f"{path}: {error.strerror or error}; expected {EXPECTED}"
        ) from None


def loaders(contents: WeightsFile, path: str | Path) -> dict[str, list[str]]:
    """Predicts which graders load a file; tests/graders compares it with them.

    Args:
        contents: What the file holds.
        path: Its name: Keras 2.12 and later expect another layout in ``.weights.h5``,
            and a zip archive in ``.keras``.

    Returns:
        For each grader, which of ``load_weights`` and ``load_model`` give these
        weights.
    """
    name = str(path)
    new = set(GRADERS[1:])
    if contents.layout in ARCHIVES.values():
        by_weights = by_model = new if name.endswith(".keras") else set()
    elif contents.layout in KERAS_3.values():
        by_weights, by_model = new if name.endswith(".weights.h5") else set(), set()
    else:  # Keras 2 knows HDF5 by any name, Keras 3 by its own
        by_model = set(GRADERS if name.endswith((".h5", ".hdf5")) else GRADERS[:-1])
        by_weights = by_model - new if name.endswith(".weights.h5") else by_model
    ways = {
        "load_weights": contents.weights_in & by_weights,
        "load_model": contents.model_in & by_model,
    }
    return {
        grader: [way for way, graders in ways.items() if grader in graders]
        for grader in GRADERS
    }

"""The files that a command is given: weights files and images."""

import argparse
import os
from functools import partial

from shears.data.archives import is_archive
from shears.data.cifar10 import read_archive
from shears.data.dataset import Split, read_split
from shears.runtime.errors import RefusedFile, UserError
from shears.runtime.hdf5 import is_hdf5
from shears.runtime.paths import expand_of
from shears.weight_files.reader import LIMITS, WeightsFile, read_weights_file

PREPARED = "results/dataset.h5"
ARCHIVE = "resources/cifar-10-binary.tar.gz"  # where the workflow keeps it


def add_file_arguments(
    parser: argparse.ArgumentParser, names: tuple[str, ...] = ("file",)
) -> None:
    """Adds weights files to a command's arguments, limits for reading them, --json."""
    for name in names:
        path = partial(expand_of, name)
        parser.add_argument(name, type=path, help="weights file (.h5 or .keras)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    for name, value, unit in (
        ("--max-memory", LIMITS.memory >> 20, "MiB of memory"),
        ("--max-seconds", LIMITS.processor, "seconds of processor time"),
    ):
        parser.add_argument(
            name,
            type=positive,
            default=value,
            metavar="N",
            help=f"{unit} that reading a file may take (default: {value})",
        )


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Adds --data to a command's arguments."""
    parser.add_argument(
        "--data",
        type=partial(expand_of, "--data"),
        help="CIFAR-10's binary or Python archive, a folder with one unpacked "
        f"or a prepared dataset.h5 (default: {PREPARED}, $CIFAR10_ARCHIVE, "
        f"{ARCHIVE})",
    )


def read_given(path: str, options: argparse.Namespace) -> WeightsFile:
    """Reads a weights file within the limits of the options.

    Raises:
        RefusedFile: It is refused.
        MachineError: It could not be read, which is not its fault.
    """
    limits = LIMITS._replace(
        memory=options.max_memory << 20,
        processor=options.max_seconds,
        wall=3 * options.max_seconds,
    )
    return read_weights_file(path, limits)


def positive(text: str) -> int:
    """Parses a limit."""
    if not text.isdecimal() or not 0 < int(text) < 1_000_000:
        raise argparse.ArgumentTypeError(
            f"found {text}, expected a whole number from 1 to 999999"
        )
    return int(text)


def find_data(data: str | None) -> str:
    """Finds the test images: those given with --data, or the workflow's.

    Raises:
        UserError: There are none.
    """
    places = [data] if data else [PREPARED, os.environ.get("CIFAR10_ARCHIVE"), ARCHIVE]
    for place in filter(None, places):
        path = place if data else expand_of("CIFAR10_ARCHIVE", place)
        if os.path.isfile(path) or os.path.isdir(path):
            return path
        try:
            os.stat(path)
        except PermissionError as error:
            raise UserError(f"{path}: {error.strerror}") from None
        except OSError:
            continue
    raise UserError(
        f"found no test images in {', '.join(p for p in places if p)}; give CIFAR-10's "
        "binary or Python archive, a folder with one unpacked, or a prepared "
        "dataset.h5 with --data"
    )


def read_images_of(data: str, split: str = "test", *, given: bool) -> Split:
    """Reads the images of a prepared file, an archive or a folder.

    Args:
        data: The file or folder.
        split: "test" or "train"; an archive's training images are all 50,000.
        given: Whether it was given with --data.

    Raises:
        RefusedFile: They are refused, and were given with --data.
        UserError: They are refused.
    """
    try:
        named = data.endswith((".h5", ".hdf5")) and not os.path.isdir(data)
        if is_hdf5(data) or (named and not is_archive(data)):
            found = read_split(data, split)
            if not len(found.labels):
                raise UserError(f"{data}: its {split} split has no images")
            return found
        return read_archive(data)[split == "test"]
    except OSError as error:
        refusal = UserError(f"{error.filename or data}: {error.strerror or error}")
    except UserError as error:
        refusal = error
    raise RefusedFile(str(refusal)) if given else refusal

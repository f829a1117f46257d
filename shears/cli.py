"""Scores any weights file as a grader would, and fills Part A's notebook.

- shears score FILE: accuracy, sparsity, score, which graders load it
- shears inspect FILE: zeros of each array, size
- shears compare A B: what two files have in common
- shears notebook fill FILE.ipynb --output FILE.ipynb: fills the course's notebook
- shears notebook check FILE.ipynb: runs a filled notebook; points, edited cells

The first three take a .h5 or .keras file, as any version of Keras writes it.

Where the package is not installed, python -m shears does the same.

Exit code 2: a given file is refused, the one to read or what --data names; one line
says why. Exit code 1: a test of a notebook fails, or another error, such as missing
test images.
"""

import argparse
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from shears.data.cifar10 import read_archive
from shears.data.dataset import Split, read_split
from shears.model.architecture import NAMES, PARAMETERS
from shears.notebook_cli import add_commands
from shears.runtime.errors import RefusedFile, UserError, printable
from shears.runtime.files import checksum
from shears.runtime.hdf5 import is_hdf5
from shears.runtime.output import complain
from shears.runtime.paths import expand_of
from shears.version import VERSION
from shears.weight_files.reader import LIMITS, WeightsFile, loaders, read_weights_file

PREPARED = "results/dataset.h5"
ARCHIVE = "resources/cifar-10-binary.tar.gz"  # where the workflow keeps it


def _read(path: str, options: argparse.Namespace) -> WeightsFile:
    limits = LIMITS._replace(
        memory=options.max_memory << 20,
        processor=options.max_seconds,
        wall=3 * options.max_seconds,
    )
    try:
        return read_weights_file(path, limits)
    except UserError as error:
        raise RefusedFile(str(error)) from None


def _positive(text: str) -> int:
    """Parses a limit."""
    if not text.isdecimal() or not 0 < int(text) < 1_000_000:
        raise argparse.ArgumentTypeError(
            f"found {text}, expected a whole number from 1 to 999999"
        )
    return int(text)


def _find_data(data: str | None) -> str:
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


def _read_test(data: str, *, given: bool) -> Split:
    """Reads the test images of a prepared file, an archive or a folder.

    Raises:
        RefusedFile: They are refused, and were given with --data.
        UserError: They are refused.
    """
    try:
        named = data.endswith((".h5", ".hdf5")) and not os.path.isdir(data)
        prepared = named or is_hdf5(data)
        return read_split(data, "test") if prepared else read_archive(data)[1]
    except OSError as error:
        refusal = UserError(f"{error.filename or data}: {error.strerror or error}")
    except UserError as error:
        refusal = error
    raise RefusedFile(str(refusal)) if given else refusal


def _gzip_size(path: str) -> int:
    """Counts the bytes that a file has compressed by gzip."""
    packer = zlib.compressobj(9, wbits=31)  # with gzip's header
    with Path(path).open("rb") as file:
        blocks = iter(partial(file.read, 1 << 20), b"")
        return sum(len(packer.compress(block)) for block in blocks) + len(
            packer.flush()
        )


def _describe(path: str, contents: WeightsFile) -> dict[str, Any]:
    """Describes what is known about a file without scoring it."""
    zeros = contents.parameters.count_zeros()
    return {
        "file": path,
        "sha256": checksum(path),
        "bytes": os.path.getsize(path),
        "gzip_bytes": _gzip_size(path),
        "layout": contents.layout,
        "writer": contents.writer,
        "ignored": contents.ignored,
        "zeros": zeros,
        "parameters": PARAMETERS,
        "sparsity": zeros / PARAMETERS,
        "loads_in": loaders(contents, path),
    }


def _lines(about: Mapping[str, Any]) -> list[str]:
    """Formats a description as lines."""
    loads = [
        f"{grader} ({' and '.join(ways)})" if ways else f"not {grader}"
        for grader, ways in about["loads_in"].items()
    ]
    lines = [
        f"file       {about['file']}",
        f"           {about['bytes']:,} bytes, {about['gzip_bytes']:,} by gzip; sha256 "
        f"{about['sha256']}",
        f"           {about['layout']}, written by Keras {about['writer']}",
        f"sparsity   {about['sparsity']:.6f} ({about['zeros']:,} of "
        f"{about['parameters']:,} weights are zero)",
        f"loads in   {loads[0]}",
        *(f"           {line}" for line in loads[1:]),
    ]
    return lines + [f"ignored    {what}" for what in about["ignored"]]


def score(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Scores a file on the test images."""
    contents = _read(options.file, options)
    data = _find_data(options.data)
    test = _read_test(data, given=bool(options.data))
    # TensorFlow takes seconds to import; a refusal need not wait for it.
    from shears.evaluation.grading import GradedNetwork

    about = _describe(options.file, contents)
    result, _ = GradedNetwork.from_parameters(contents.parameters).score(test)
    about |= result | {"data": data}
    lines = _lines(about)
    lines[3:3] = [
        f"score      {about['score']:.6f}",
        f"accuracy   {about['accuracy']:.4f} ({about['correct']:,} of "
        f"{about['images']:,} test images; a score needs more than 0.65)",
    ]
    return about, lines


def inspect(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Shows the zeros of each array of a file."""
    contents = _read(options.file, options)
    about = _describe(options.file, contents)
    about["arrays"] = [
        {"name": name, "weights": array.size, "zeros": int((array == 0).sum())}
        for name, array in zip(NAMES, contents.parameters.arrays, strict=True)
    ]
    lines = _lines(about)
    lines.append(f"{'array':20}{'weights':>10}{'zeros':>11}{'density':>10}")
    lines += [
        f"{row['name']:20}{row['weights']:>10,}{row['zeros']:>11,}"
        f"{1 - row['zeros'] / row['weights']:>10.4f}"
        for row in about["arrays"]
    ]
    return about, lines


def compare(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Compares the weights of two files."""
    files = (options.first, options.second)
    first, second = (_read(path, options).parameters for path in files)
    rows: list[dict[str, Any]] = []
    for name, a, b in zip(NAMES, first.arrays, second.arrays, strict=True):
        rows.append(
            {
                "name": name,
                "weights": a.size,
                "zeros": [int((a == 0).sum()), int((b == 0).sum())],
                "zeros_in_both": int(((a == 0) & (b == 0)).sum()),
                "different": int((a != b).sum()),
                "largest_difference": float(
                    np.abs(a.astype(np.float64) - b).max(initial=0)
                ),
            }
        )
    different = sum(row["different"] for row in rows)
    about: dict[str, Any] = {
        "files": list(files),
        "zeros": [parameters.count_zeros() for parameters in (first, second)],
        "zeros_in_both": sum(row["zeros_in_both"] for row in rows),
        "different": different,
        "arrays": rows,
    }
    lines = [
        f"zeros: {about['zeros'][0]:,} and {about['zeros'][1]:,}, "
        f"{about['zeros_in_both']:,} of them in both",
        f"weights that differ: {different:,} of {PARAMETERS:,}",
        f"{'array':20}{'zeros':>11}{'zeros':>11}{'in both':>11}{'differ':>11}"
        f"{'by at most':>12}",
    ]
    lines += [
        f"{row['name']:20}{row['zeros'][0]:>11,}{row['zeros'][1]:>11,}"
        f"{row['zeros_in_both']:>11,}{row['different']:>11,}"
        f"{row['largest_difference']:>12.3g}"
        for row in rows
    ]
    return about, lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="shears",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"shears {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command, names in (
        (score, ["file"]),
        (inspect, ["file"]),
        (compare, ["first", "second"]),
    ):
        summary = (command.__doc__ or "").partition("\n")[0]
        subparser = commands.add_parser(
            command.__name__, help=summary, description=summary
        )
        subparser.set_defaults(command=command)
        for name in names:
            path = partial(expand_of, name)
            subparser.add_argument(name, type=path, help="weights file (.h5 or .keras)")
        subparser.add_argument("--json", action="store_true", help="print JSON")
        for name, value, unit in (
            ("--max-memory", LIMITS.memory >> 20, "MiB of memory"),
            ("--max-seconds", LIMITS.processor, "seconds of processor time"),
        ):
            subparser.add_argument(
                name,
                type=_positive,
                default=value,
                metavar="N",
                help=f"{unit} that reading a file may take (default: {value})",
            )
        if command is score:
            subparser.add_argument(
                "--data",
                type=partial(expand_of, "--data"),
                help="CIFAR-10's binary or Python archive, a folder with one unpacked "
                f"or a prepared dataset.h5 (default: {PREPARED}, $CIFAR10_ARCHIVE, "
                f"{ARCHIVE})",
            )
    summary = "Fills or checks the course's notebook of Part A."
    add_commands(commands.add_parser("notebook", help=summary, description=summary))
    try:
        options = parser.parse_args(arguments)
    except UserError as error:  # of a path
        complain(f"refused: {error}")
        return 2
    try:
        about, lines = options.command(options)
    except RefusedFile as error:
        complain(f"refused: {error}")
        return 2
    except UserError as error:
        complain(f"error: {error}")
        return 1
    shown = map(printable, lines)  # a file's name may be anything
    print(json.dumps(about, indent=2) if options.json else "\n".join(shown))
    return 0 if about.get("passed", True) else 1

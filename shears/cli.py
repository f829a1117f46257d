"""Scores any weights file as a grader would, fills Part A's notebook, grades a class.

- shears score FILE: accuracy, sparsity, score, which graders load it
- shears inspect FILE: zeros of each array, size
- shears compare A B: what two files have in common
- shears export FILE --format c: a smaller network with the same predictions, as code or
  as a model of ONNX, LiteRT or Keras
- shears latency FILE: how fast it is in several runtimes and as C code
- shears report A B: a page that shows runs beside each other
- shears open, shears watch: the page of a run, when it ends and while it trains
- shears notebook fill FILE.ipynb --output FILE.ipynb: fills the course's notebook
- shears notebook check FILE.ipynb: runs a filled notebook; points, edited cells
- shears leaderboard FOLDER: scores a class, and writes its leaderboard
- shears autograder OUT.zip: builds the autograder that Gradescope takes

The first five take a .h5 or .keras file, as any version of Keras writes it.

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

from shears.autograder_cli import add_autograder_command
from shears.classroom_cli import add_classroom_commands
from shears.given_files import (
    add_data_argument,
    add_file_arguments,
    find_data,
    read_given,
    read_images_of,
)
from shears.inference_cli import add_inference_commands
from shears.model.architecture import NAMES, PARAMETERS
from shears.notebook_cli import add_commands
from shears.report_cli import add_report_commands
from shears.runtime.errors import RefusedFile, UserError, printable
from shears.runtime.files import checksum
from shears.runtime.output import complain
from shears.version import VERSION
from shears.weight_files.reader import WeightsFile, loaders


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
    contents = read_given(options.file, options)
    data = find_data(options.data)
    test = read_images_of(data, given=bool(options.data))
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
    contents = read_given(options.file, options)
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
    first, second = (read_given(path, options).parameters for path in files)
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
        (score, ("file",)),
        (inspect, ("file",)),
        (compare, ("first", "second")),
    ):
        summary = (command.__doc__ or "").partition("\n")[0]
        subparser = commands.add_parser(
            command.__name__, help=summary, description=summary
        )
        subparser.set_defaults(command=command)
        add_file_arguments(subparser, names)
        if command is score:
            add_data_argument(subparser)
    add_inference_commands(commands)
    add_report_commands(commands)
    summary = "Fills or checks the course's notebook of Part A."
    add_commands(commands.add_parser("notebook", help=summary, description=summary))
    add_classroom_commands(commands)
    add_autograder_command(commands)
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

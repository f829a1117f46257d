"""The scorer for anybody: what a grader would say of a weights file, and why.

python -m shears score FILE.h5     accuracy, sparsity, score, who can load it
python -m shears inspect FILE.h5   zeros of each layer, size
python -m shears compare A.h5 B.h5 what two files have in common

Exit code 2: the file is not a submission, with one line that says why. 1: something
else is amiss, such as no test images.
"""

import argparse
import gzip
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from shears.model.architecture import PARAMETERS
from shears.model.parameters import count_zeros
from shears.runtime.errors import UserError
from shears.runtime.files import checksum
from shears.weight_files.canonical import NAMES
from shears.weight_files.reader import Found, read_keras_file, who_loads

PREPARED = "results/dataset.h5"
ARCHIVE = "resources/cifar-10-binary.tar.gz"  # where the workflow keeps it


class BadFile(Exception):
    """The weights file is refused."""


def _read(path: str) -> Found:
    try:
        return read_keras_file(path)
    except UserError as error:
        raise BadFile(str(error)) from None


def _find_data(asked: str | None) -> str:
    """Finds the test images: what was asked for, or what the workflow works with.

    Raises:
        UserError: There are none.
    """
    places = (
        [asked] if asked else [PREPARED, os.environ.get("CIFAR10_ARCHIVE"), ARCHIVE]
    )
    for place in places:
        if place and Path(place).is_file():
            return place
    raise UserError(
        f"found no test images in {', '.join(p for p in places if p)}; give CIFAR-10's "
        "binary archive (cifar-10-binary.tar.gz) or a prepared dataset.h5 by --data"
    )


def _layers(found: Found) -> list[dict]:
    """Lists each array: its name, size and zeros."""
    return [
        {"name": name, "weights": array.size, "zeros": int((array == 0).sum())}
        for name, array in zip(NAMES, found.weights, strict=True)
    ]


def _describe(path: str, found: Found) -> dict:
    """What there is to say of a file without any image."""
    zeros = count_zeros(found.weights)
    content = Path(path).read_bytes()
    return {
        "file": path,
        "sha256": checksum(path),
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content, mtime=0)),
        "layout": found.layout,
        "writer": found.writer,
        "ignored": found.ignored,
        "zeros": zeros,
        "parameters": PARAMETERS,
        "sparsity": zeros / PARAMETERS,
        "loads_in": who_loads(found, path),
    }


def _tell(about: Mapping) -> list[str]:
    """Writes what `_describe` found in lines."""
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
    return lines + [f"passed over {what}" for what in about["ignored"]]


def score(options: argparse.Namespace) -> tuple[dict, list[str]]:
    """Scores a file on the test images."""
    found = _read(options.file)
    data = _find_data(options.data)
    # TensorFlow takes seconds to import: a refusal need not wait for it.
    from shears.data.cifar10 import read_archive
    from shears.data.dataset import read_split
    from shears.evaluation.grading import score_weights

    prepared = data.endswith((".h5", ".hdf5"))
    test = read_split(data, "test") if prepared else read_archive(data)[1]
    about = _describe(options.file, found)
    about |= score_weights(found.weights, test)[0] | {"data": data}
    lines = _tell(about)
    lines[3:3] = [
        f"score      {about['score']:.6f}",
        f"accuracy   {about['accuracy']:.4f} ({about['correct']:,} of "
        f"{about['images']:,} test images; a score needs more than 0.65)",
    ]
    return about, lines


def inspect(options: argparse.Namespace) -> tuple[dict, list[str]]:
    """Tells a file's zeros, layer by layer."""
    found = _read(options.file)
    about = _describe(options.file, found) | {"layers": _layers(found)}
    lines = _tell(about)
    lines.append(f"{'array':20}{'weights':>10}{'zeros':>11}{'density':>10}")
    lines += [
        f"{layer['name']:20}{layer['weights']:>10,}{layer['zeros']:>11,}"
        f"{1 - layer['zeros'] / layer['weights']:>10.4f}"
        for layer in about["layers"]
    ]
    return about, lines


def compare(options: argparse.Namespace) -> tuple[dict, list[str]]:
    """Tells what two files' weights have in common."""
    first, second = (_read(path) for path in (options.first, options.second))
    rows = []
    for name, a, b in zip(NAMES, first.weights, second.weights, strict=True):
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
    about = {
        "files": [options.first, options.second],
        "zeros": [count_zeros(found.weights) for found in (first, second)],
        "zeros_in_both": sum(row["zeros_in_both"] for row in rows),
        "different": different,
        "layers": rows,
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
        prog="python -m shears",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command, names in (
        (score, ["file"]),
        (inspect, ["file"]),
        (compare, ["first", "second"]),
    ):
        about = command.__doc__.splitlines()[0]
        one = commands.add_parser(command.__name__, help=about, description=about)
        one.set_defaults(command=command)
        for name in names:
            one.add_argument(name, help="weights file (.h5)")
        one.add_argument("--json", action="store_true", help="print JSON")
        if command is score:
            one.add_argument(
                "--data",
                help="CIFAR-10's binary archive, or a prepared dataset.h5 (default: "
                f"{PREPARED}, $CIFAR10_ARCHIVE, {ARCHIVE})",
            )
    options = parser.parse_args(arguments)
    try:
        found, lines = options.command(options)
    except BadFile as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2) if options.json else "\n".join(lines))
    return 0

"""The commands for inference: shears export, shears latency."""

import argparse
import contextlib
import errno
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from shears.given_files import (
    add_data_argument,
    add_file_arguments,
    find_data,
    positive,
    read_given,
    read_images_of,
)
from shears.runtime.errors import UserError, brief
from shears.runtime.machine import count_cores
from shears.runtime.paths import expand_of

FORMATS = ("c", "onnx", "tflite", "tflite-int8", "keras")
CALIBRATION = 500  # training images that give int8 its ranges
RUNS = 20
#: What is wrong with a folder; None where a library cannot be loaded from it.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, None)
Answer = tuple[dict[str, Any], list[str]]


@contextlib.contextmanager
def _temporary_files() -> Iterator[None]:
    """Has temporary files removed at Ctrl-C, and says if they cannot be written."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise UserError(brief(error)) from None
        place = error.filename or tempfile.gettempdir()
        raise UserError(
            f"{place}: {error.strerror or brief(error)}; TMPDIR names the folder for "
            "temporary files"
        ) from None
    finally:
        signal.signal(signal.SIGINT, before)


def export(options: argparse.Namespace) -> Answer:
    """Exports a smaller network with the same predictions, checked on test images."""
    contents = read_given(options.file, options)
    data = find_data(options.data)
    given = bool(options.data)
    test = read_images_of(data, given=given)
    stem = re.sub(r"\.(weights\.)?(h5|hdf5|keras)$", "", Path(options.file).name)
    target = Path(options.output or stem)
    if options.output and target.name:  # a suffix that is given all the same
        bare = re.sub(r"(?<=.)\.(c|h|onnx|(int8\.)?tflite|keras)$", "", target.name)
        target = target.with_name(bare)
    if not target.name:
        raise UserError(
            f"--output: found {options.output or stem or 'no name'}, expected a path "
            "with a file's name, without suffix"
        )
    # TensorFlow takes seconds to import; a refusal need not wait for it.
    from shears.inference.checked_export import (
        export_and_check,
        paths_of,
        write_export,
    )
    from shears.inference.comparison import compact_and_check, pixels

    name = re.sub(r"\W", "_", target.name, flags=re.ASCII)
    name = name if re.match("[A-Za-z_]", name) else f"network_{name}"
    if options.format == "c":  # the source names its header
        target = target.with_name(name)
    for path in paths_of(options.format, target):
        if os.path.exists(path) and os.path.samefile(path, options.file):
            raise UserError(
                f"{path}: is the file itself; --output names where the export goes"
            )
    calibration = None
    if options.format == "tflite-int8":
        train = read_images_of(data, "train", given=given)
        calibration = pixels(train.images[:CALIBRATION])
    images = pixels(test.images)
    with _temporary_files():
        network, _ = compact_and_check(contents.parameters, images)
        made = export_and_check(
            network, options.format, images, name=name, calibration=calibration
        )
    try:
        paths = write_export(made.files, target)
    except OSError as error:
        file_as_folder = isinstance(error, FileExistsError)
        reason = os.strerror(errno.ENOTDIR) if file_as_folder else error.strerror
        raise UserError(
            f"{error.filename}: {reason}; --output names where the export goes"
        ) from None
    accuracy = float((made.predictions == test.labels).mean())
    about = {
        "file": options.file,
        "format": options.format,
        "written": {str(path): path.stat().st_size for path in paths},
        "widths": list(network.widths),
        "constant": network.constant,
        "multiply_adds": network.multiply_adds,
        "multiply_adds_left": network.multiply_adds_left,
        "images": len(images),
        "largest_difference": made.difference,
        "accuracy": accuracy,
        "unchecked": made.unchecked,
    }
    lines = [
        f"written    {path} ({size:,} bytes)" for path, size in about["written"].items()
    ]
    widths = ", ".join(map(str, network.widths))
    lines.append(
        "network    constant: its predictions do not depend on the image"
        if network.constant
        else f"network    {widths} units are left in the hidden layers"
    )
    lines.append(
        f"work       {network.multiply_adds_left:,} multiply-adds for an image with "
        f"weights that are not zero, of {network.multiply_adds:,}"
    )
    checked = (
        f"unchecked  {made.unchecked}",
        f"checked    on {len(images):,} test images: accuracy {accuracy:.4f}, outputs "
        f"differ by at most {made.difference or 0:.2g}",
    )
    lines.append(checked[not made.unchecked])
    return about, lines


def latency(options: argparse.Namespace) -> Answer:
    """Measures a network as it is and compacted, in several runtimes and as C code."""
    contents = read_given(options.file, options)
    data = find_data(options.data)
    test = read_images_of(data, given=bool(options.data))
    from shears.inference.comparison import compare_file, pixels

    threads = count_cores()
    images = pixels(test.images)
    with _temporary_files():
        about = compare_file(
            contents.parameters, images, runs=options.runs, threads=threads
        )
    lines = [
        f"{'network':9}{'runtime':15}{'threads':>7}{'batch':>7}{'median us':>12}"
        f"{'95 % us':>12}{'images/s':>12}"
    ]
    lines += [
        f"{t['network']:9}{t['runtime']:15}{t['threads']:>7}{t['batch']:>7}"
        f"{t['median']:>12,.0f}{t['p95']:>12,.0f}{t['images_per_second']:>12,.0f}"
        for t in sorted(about["timings"], key=lambda t: (t["threads"], t["batch"]))
    ]
    lines += [f"missing: {name}: {why}" for name, why in about["missing"].items()]
    lines += [
        f"C code, batch {row['batch']}, threads {row['threads']}: {row['ratio']:.1f} "
        f"times the images a second of {row['rival']}, {row['keras']:.0f} times Keras'"
        for row in about["speedups"]
    ]
    return {"file": options.file, "data": data, **about}, lines


def add_inference_commands(commands: Any) -> None:
    """Adds the commands to the parser's."""
    for command in (export, latency):
        summary = (command.__doc__ or "").partition("\n")[0]
        parser = commands.add_parser(
            command.__name__, help=summary, description=summary
        )
        parser.set_defaults(command=command)
        add_file_arguments(parser)
        add_data_argument(parser)
        if command is export:
            parser.add_argument(
                "--format", choices=FORMATS, required=True, help="what to write"
            )
            parser.add_argument(
                "--output",
                type=partial(expand_of, "--output"),
                metavar="PATH",
                help="where to; the format's suffix is added (default: the file's "
                "name, here); C code is named with letters, digits and underscores "
                "only",
            )
        else:
            parser.add_argument(
                "--runs",
                type=positive,
                default=RUNS,
                metavar="N",
                help=f"turns of each network in each runtime (default: {RUNS})",
            )

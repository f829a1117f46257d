"""The command for teachers: shears autograder."""

import argparse
import errno
import os
from functools import partial
from typing import Any

from shears.given_files import add_data_argument, find_data, positive, read_images_of
from shears.optimizer_study.course_notebook import POINTS
from shears.runtime.errors import UserError
from shears.runtime.paths import expand_of

PARTS = {"a": ("a",), "b": ("b",), "both": ("a", "b")}
POINTS_B = 100
#: The sha256 of CIFAR-10's test images (`shears.data.packed_images.split_digest`).
TEST_IMAGES = "80ea82a521e00ad43b4c144b664c625249e025e4dfb0b2dd77227911be1a0aa7"
MEGABYTE = 1_000_000


def autograder(options: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Builds the zip that Gradescope takes as an autograder."""
    from shears.classroom.autograder import build
    from shears.data.packed_images import split_digest

    every = {"a": sum(POINTS.values()), "b": options.points_b}
    points = {part: every[part] for part in PARTS[options.parts]}
    images, described = None, "downloaded by setup.sh, with a checksum"
    if "b" in points and options.images == "zip":
        data = find_data(options.data)
        images = read_images_of(data, given=bool(options.data))
        official = split_digest(images) == TEST_IMAGES
        described = f"{len(images.labels):,}, in the zip; " + (
            "CIFAR-10's test images" if official else f"of {data}, not CIFAR-10's"
        )
    try:
        sizes = build(options.output, points, images)
        size = os.path.getsize(options.output)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        raise UserError(
            f"{options.output}: {reason}; expected a file to write"
        ) from None
    about = {
        "file": options.output,
        "bytes": size,
        "points": points,
        "images": None if images is None else len(images.labels),
        "files": sizes,
    }
    lines = [
        f"written    {options.output} ({size / MEGABYTE:.1f} MB, {len(sizes)} files)",
        *(f"part {part.upper()}     {most:g} points" for part, most in points.items()),
    ]
    if "b" in points:
        lines.append(f"images     {described}")
    return about, lines


def add_autograder_command(commands: Any) -> None:
    """Adds the command to the parser's."""
    summary = (autograder.__doc__ or "").partition("\n")[0]
    parser = commands.add_parser("autograder", help=summary, description=summary)
    parser.set_defaults(command=autograder)
    parser.add_argument(
        "output",
        type=partial(expand_of, "output"),
        metavar="OUT.zip",
        help="zip to write",
    )
    parser.add_argument(
        "--parts", choices=PARTS, default="both", help="what it grades (default: both)"
    )
    parser.add_argument(
        "--images",
        choices=("zip", "download"),
        default="zip",
        help="whether the test images are in the zip or downloaded by setup.sh "
        "(default: zip)",
    )
    parser.add_argument(
        "--points-b",
        type=positive,
        default=POINTS_B,
        metavar="N",
        help=f"points of Part B for a score of 1 (default: {POINTS_B})",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_data_argument(parser)

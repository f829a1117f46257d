"""The teacher's commands: shears leaderboard."""

import argparse
import logging
from functools import partial
from pathlib import Path
from typing import Any

from shears.given_files import add_data_argument, find_data, read_images_of
from shears.runtime.errors import UserError
from shears.runtime.output import complain
from shears.runtime.packages import check_packages
from shears.runtime.paths import expand_of

PACKAGES = ("altair", "itables", "jinja2", "vl_convert", "yaml")

Answer = tuple[dict[str, Any], list[str]]


class _Progress(logging.Handler):
    """Shows on standard error how far a run is; a large class takes minutes."""

    def emit(self, record: logging.LogRecord) -> None:
        complain(record.getMessage())


def leaderboard(options: argparse.Namespace) -> Answer:
    """Scores a class, and writes a leaderboard: a page, a table and a JSON file."""
    check_packages(PACKAGES, "a leaderboard", "classroom")
    from shears.classroom.leaderboard import describe, write_leaderboard

    logger = logging.getLogger("shears.classroom")
    logger.setLevel(logging.INFO)
    logger.handlers = [_Progress()]
    given = bool(options.data)
    try:
        made = write_leaderboard(
            Path(options.submissions),
            Path(options.output),
            lambda: read_images_of(find_data(options.data), given=given),
            anonymous=options.anonymous,
        )
    except OSError as error:
        place = error.filename or options.output
        raise UserError(
            f"{place}: {error.strerror}; --output names where the leaderboard goes"
        ) from None
    about = made.board | {
        "read": made.read,
        "cached": made.cached,
        "notes": made.notes,
        "page": str(made.page),
    }
    return about, describe(made)


def add_classroom_commands(commands: Any) -> None:
    """Adds the commands to the parser's."""
    summary = (leaderboard.__doc__ or "").partition("\n")[0]
    parser = commands.add_parser("leaderboard", help=summary, description=summary)
    parser.set_defaults(command=leaderboard)
    parser.add_argument(
        "submissions",
        type=partial(expand_of, "submissions"),
        metavar="FOLDER",
        help="a folder or file per student, or Gradescope's export",
    )
    parser.add_argument(
        "--output",
        type=partial(expand_of, "--output"),
        default="leaderboard",
        metavar="FOLDER",
        help="where the leaderboard goes (default: %(default)s)",
    )
    add_data_argument(parser)
    parser.add_argument(
        "--anonymous",
        action="store_true",
        help="show pseudonyms that stay the same; pseudonyms.csv says whose they are",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")

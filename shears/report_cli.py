"""The commands for looking at runs: shears report, shears open, shears watch."""

import argparse
import os
import signal
import sys
import webbrowser
from functools import partial
from pathlib import Path
from typing import Any

from shears.runtime.errors import UserError
from shears.runtime.packages import check_packages
from shears.runtime.paths import expand_of

PACKAGES = ("altair", "itables", "jinja2", "pydantic", "scipy", "vl_convert")
PORT = 8605

Answer = tuple[dict[str, Any], list[str]]


def report(options: argparse.Namespace) -> Answer:
    """Shows two or more runs beside each other, on one page."""
    if len(options.runs) < 2:
        raise UserError(
            "runs: found one, expected two or more; shears open shows the page of one"
        )
    check_packages(PACKAGES, "looking at a run", "report")
    from shears.reporting.comparison import write_comparison
    from shears.reporting.runs import find_results, name_runs, read_run

    folders = [find_results(path) for path in options.runs]
    try:
        runs = [
            read_run(folder, name)
            for folder, name in zip(folders, name_runs(folders), strict=True)
        ]
        write_comparison(runs, options.output)
    except OSError as error:
        place = error.filename or options.output
        raise UserError(f"{place}: {error.strerror}") from None
    lines = [f"{run.name}: {gap}" for run in runs for gap in run.gaps]
    about = {
        "page": options.output,
        "runs": [str(folder) for folder in folders],
        "gaps": lines,
    }
    return about, [*lines, f"written    {options.output}"]


def _has_display() -> bool:
    """Whether there is a screen that a browser can use."""
    if sys.platform == "darwin":
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def open_page(options: argparse.Namespace) -> Answer:
    """Opens the report of a run in the browser, or prints where it is."""
    check_packages(PACKAGES, "looking at a run", "report")
    from shears.reporting.runs import find_results

    page = find_results(options.directory) / "report.html"
    if not os.path.isfile(page):
        raise UserError(
            f"{page}: there is no report yet, expected a finished run; while it "
            f"trains, shears watch {options.directory} shows it"
        )
    opened = _has_display() and webbrowser.open(page.absolute().as_uri())
    return {"page": str(page), "opened": opened}, [str(page)]


def _find_base(directory: str) -> Path:
    """Finds the folder that has the results of a run, which may just have begun.

    Raises:
        UserError: There is none.
    """
    base = Path(directory)
    if base.name == "results" and os.path.isdir(base):
        return base.parent
    if not os.path.isdir(base / "results"):
        raise UserError(
            f"{directory}: found no folder results in it, expected the directory of a "
            "run that has begun"
        )
    return base


def watch(options: argparse.Namespace) -> Answer:
    """Shows a run while it trains, in a browser on this machine."""
    base = _find_base(options.directory)
    check_packages(PACKAGES, "looking at a run", "report")
    from shears.reporting.live import Watched
    from shears.reporting.server import ADDRESS, Server

    os.nice(19)  # the run goes first
    with Server(Watched(base), options.port) as server:
        address = f"http://{ADDRESS}:{server.server_port}/"
        print(f"{address}  (visible on this machine only; Ctrl-C stops it)", flush=True)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
    return {"address": address}, [""]


def _port(text: str) -> int:
    """Parses a port."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            f"found {text}, expected a whole number from 0 to 65535"
        )
    return int(text)


def _add(commands: Any, command: Any, name: str) -> argparse.ArgumentParser:
    summary = (command.__doc__ or "").partition("\n")[0]
    parser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=command)
    return parser


def add_report_commands(commands: Any) -> None:
    """Adds the commands to the parser's."""
    parser = _add(commands, report, "report")
    parser.add_argument(
        "runs",
        nargs="+",
        type=partial(expand_of, "runs"),
        metavar="RESULTS",
        help="results/ of a run; the others are compared with the first",
    )
    parser.add_argument(
        "--output",
        type=partial(expand_of, "--output"),
        default="comparison.html",
        metavar="PAGE.html",
        help="page to write (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser = _add(commands, open_page, "open")
    _add_directory(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")

    parser = _add(commands, watch, "watch")
    _add_directory(parser)
    parser.add_argument(
        "--port",
        type=_port,
        default=PORT,
        metavar="N",
        help="port to listen on, 0 for any that is free (default: %(default)s)",
    )
    parser.set_defaults(json=False)


def _add_directory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "directory",
        nargs="?",
        default=".",
        type=partial(expand_of, "directory"),
        help="the configuration's directory, such as demo (default: here)",
    )

"""Runs the command line: shears, or python -m shears."""

import sys

from shears.cli import main
from shears.runtime.errors import ctrl_c_ends_at_once
from shears.runtime.output import checked_output


def run() -> int:
    """Runs the command line; returns the exit code."""
    with ctrl_c_ends_at_once(), checked_output():
        return main()


if __name__ == "__main__":
    sys.exit(run())

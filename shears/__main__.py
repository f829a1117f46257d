"""Runs the command line: python -m shears."""

import sys

from shears.cli import main
from shears.runtime.errors import ctrl_c_ends_at_once

if __name__ == "__main__":
    with ctrl_c_ends_at_once():
        sys.exit(main())

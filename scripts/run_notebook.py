"""Makes Part A's notebook: self-contained, executed from top to bottom."""

from pathlib import Path
from typing import TYPE_CHECKING

import shears
from shears.notebooks.execution import execute
from shears.notebooks.files import read_notebook, self_contained, write_notebook
from shears.runtime.job_log import log_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run_notebook(*, notebook: str, submission: str) -> None:
    """Pastes the library's code into the notebook and executes it."""
    root = Path(shears.__file__).parents[1]
    standalone = self_contained(read_notebook(notebook), root)
    write_notebook(submission, execute(standalone))


if __name__ == "__main__":
    with log_job("run_notebook", snakemake.log[0]):
        run_notebook(
            notebook=snakemake.input.notebook,
            submission=snakemake.output.submission,
        )

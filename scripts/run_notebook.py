"""Makes Part A's notebook: filled, self-contained, executed from top to bottom."""

from typing import TYPE_CHECKING

from shears.notebooks.execution import execute
from shears.notebooks.files import as_notebook, write_notebook
from shears.optimizer_study.fill import fill_file
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run_notebook(*, notebook: str, submission: str) -> None:
    """Fills the notebook from the library and executes it."""
    write_notebook(submission, execute(as_notebook(fill_file(notebook))))


if __name__ == "__main__":
    with log_job("run_notebook", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        run_notebook(
            notebook=snakemake.input.notebook,
            submission=snakemake.output.submission,
        )

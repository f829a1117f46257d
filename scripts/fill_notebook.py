"""Fills the course's notebook, and runs it to see that its tests pass."""

from typing import TYPE_CHECKING

from shears.notebooks.limits import Limits
from shears.optimizer_study.check import run
from shears.optimizer_study.fill import fill_file
from shears.runtime.errors import UserError
from shears.runtime.files import write_bytes
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def fill_notebook(*, notebook: str, submission: str) -> None:
    """Writes the filled notebook, without outputs, if all of its tests pass."""
    filled = fill_file(notebook)
    tests, _ = run(filled, Limits())
    for test in tests:
        if not test.passed:
            raise UserError(
                f"{notebook}: filled, but {test.name} fails: {test.problem}; shears "
                "notebook fill says more"
            )
    write_bytes(submission, filled.encode())


if __name__ == "__main__":
    with log_job("fill_notebook", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        fill_notebook(
            notebook=snakemake.input.notebook,
            submission=snakemake.output.submission,
        )

"""Executes Part B's notebook on the prepared images and a trained network."""

import os
from typing import TYPE_CHECKING

from shears.notebooks.execution import execute
from shears.notebooks.files import read_notebook, write_notebook
from shears.runtime.files import verify
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def run_pruning_notebook(
    *, notebook: str, dataset: str, weights: str, executed: str, threads: int
) -> None:
    """Executes the notebook, which finds its files by environment variables."""
    for path in (dataset, weights):
        verify(path)
    variables = {
        "SHEARS_DATASET": os.path.abspath(dataset),
        "SHEARS_WEIGHTS": os.path.abspath(weights),
        # What `prepare` does for other jobs, in variables that TensorFlow reads.
        "CUDA_VISIBLE_DEVICES": "-1",
        "TF_DETERMINISTIC_OPS": "1",
        "TF_NUM_INTRAOP_THREADS": str(threads),
        "TF_NUM_INTEROP_THREADS": str(threads),
    }
    write_notebook(executed, execute(read_notebook(notebook), variables=variables))


if __name__ == "__main__":
    with log_job("run_pruning_notebook", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        run_pruning_notebook(
            **snakemake.input, **snakemake.output, threads=snakemake.threads
        )

"""Measures one cell of Part A's study: an optimizer on a data set."""

from typing import TYPE_CHECKING

from shears.optimizer_study.regression import DATA_SETS
from shears.optimizer_study.study import learning_rates, measure
from shears.runtime import machine
from shears.runtime.device import prepare
from shears.runtime.files import write_json
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def benchmark_optimizer(
    *,
    data_set: str,
    optimizer: str,
    implementation: str,
    updates: int,
    lowest_rate: float,
    highest_rate: float,
    rates: int,
    cell: str,
) -> None:
    """Measures the cell and writes a JSON file."""
    measurement = measure(
        DATA_SETS[data_set](),
        optimizer,
        implementation,
        learning_rates=learning_rates(lowest_rate, highest_rate, rates),
        updates=updates,
    )
    write_json(cell, {**measurement, "machine": machine.describe()})


if __name__ == "__main__":
    name = " ".join(snakemake.wildcards)
    with log_job(f"benchmark_optimizer {name}", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        prepare(snakemake.threads)
        benchmark_optimizer(
            **snakemake.wildcards, **snakemake.params.settings, **snakemake.output
        )

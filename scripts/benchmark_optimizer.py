"""Measures one cell of Part A's study: an optimizer on a data set."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shears.optimizer_study.regression import DATA_SETS
from shears.optimizer_study.study import learning_rates, measure
from shears.runtime import machine
from shears.runtime.device import prepare
from shears.runtime.files import write_json
from shears.runtime.job_log import stage

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def benchmark_optimizer(
    *,
    data_set: str,
    optimizer: str,
    implementation: str,
    settings: Mapping,
    cell: str,
    threads: int,
) -> None:
    """Measures and writes a JSON file."""
    prepare(threads)
    found = measure(
        DATA_SETS[data_set](),
        optimizer,
        implementation,
        learning_rates=learning_rates(
            settings["lowest_rate"], settings["highest_rate"], settings["rates"]
        ),
        updates=settings["updates"],
    )
    write_json(cell, {**found, "machine": machine.describe()})


if __name__ == "__main__":
    cell = dict(snakemake.wildcards.items())
    with stage(f"benchmark_optimizer {' '.join(cell.values())}", snakemake.log[0]):
        benchmark_optimizer(
            **cell,
            settings=snakemake.params.settings,
            cell=snakemake.output.cell,
            threads=snakemake.threads,
        )

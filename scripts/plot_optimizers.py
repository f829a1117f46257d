"""Draws Part A's figures and makes its table."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from shears.optimizer_study.plots import (
    plot_losses,
    plot_paths,
    plot_sensitivity,
    tabulate,
    to_svg,
    winners,
)
from shears.optimizer_study.study import walk_valley
from shears.runtime.device import prepare
from shears.runtime.files import read_json, write_bytes, write_json
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def plot_optimizers(
    *,
    names: Sequence[Sequence[str]],
    files: Sequence[str],
    table: str,
    losses: str,
    sensitivity: str,
    paths: str,
) -> None:
    """Reads all cells (by data set, optimizer, implementation) and writes the files."""
    cells: dict[str, dict[str, dict[str, Any]]] = {}
    for (data_set, optimizer, implementation), file in zip(names, files, strict=True):
        pair = cells.setdefault(data_set, {}).setdefault(optimizer, {})
        pair[implementation] = read_json(file)
    lines = tabulate(cells)
    write_json(
        table,
        {"lines": [line._asdict() for line in lines], "winners": winners(lines)},
    )
    write_bytes(losses, to_svg(plot_losses(cells)))
    write_bytes(sensitivity, to_svg(plot_sensitivity(cells)))
    write_bytes(paths, to_svg(plot_paths(walk_valley())))


if __name__ == "__main__":
    with log_job("plot_optimizers", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        prepare(1)
        plot_optimizers(
            names=snakemake.params.names,
            files=list(snakemake.input),
            **snakemake.output,
        )

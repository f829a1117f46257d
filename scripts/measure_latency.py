"""Measures the chosen candidate in several runtimes, and every candidate once."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.inference.comparison import compare_candidates, pixels
from shears.runtime import device
from shears.runtime.files import read_json, write_json
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record
from shears.weight_files.canonical import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def measure_latency(
    *,
    candidates: Sequence[str],
    weights: Sequence[str],
    baselines: Mapping[str, str],
    choice: str,
    dataset: str,
    latency: str,
    runs: int,
    threads: int,
) -> None:
    """Compares the candidates with the dense network that the chosen one came from."""
    chosen = read_json(choice)["candidate"]
    chain = chosen.rpartition("/round_")[0]
    about = compare_candidates(
        dict(zip(candidates, map(read_weights, weights), strict=True)),
        chosen,
        baselines.get(chain, chosen),
        pixels(read_split(dataset, "test").images),
        runs=runs,
        threads=threads,
    )
    write_json(latency, about)


if __name__ == "__main__":
    with log_job("measure_latency", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        device.prepare(snakemake.threads)
        measure_latency(
            candidates=snakemake.params.candidates,
            weights=snakemake.input.weights,
            baselines=snakemake.params.baselines,
            choice=snakemake.input.choice,
            dataset=snakemake.input.dataset,
            latency=snakemake.output.latency,
            runs=snakemake.params.runs,
            threads=snakemake.threads,
        )

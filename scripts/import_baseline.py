"""Imports anybody's file of the fixed network as a baseline."""

from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.evaluation.grading import GradedNetwork
from shears.runtime.device import prepare
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record
from shears.training.outputs import TrainingFiles, save_imported
from shears.training.run_context import RunContext
from shears.weight_files.reader import read_weights_file

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def import_baseline(
    context: RunContext, outputs: TrainingFiles, *, source: str, dataset: str
) -> None:
    """Reads the file, measures the network and writes the candidate."""
    contents = read_weights_file(source)
    network = GradedNetwork.from_parameters(contents.parameters)
    result, _ = network.score(read_split(dataset, "validation"))
    save_imported(contents, source, result["accuracy"], context, outputs)


if __name__ == "__main__":
    with log_job(f"import_baseline {snakemake.wildcards.baseline}", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        device = prepare(snakemake.threads)
        import_baseline(
            RunContext("float32", int(snakemake.wildcards.seed), device),
            TrainingFiles(**snakemake.output),
            **snakemake.input,
        )

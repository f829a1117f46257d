"""Trains a dense network that is pruned later."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.model.parameters import initial_parameters
from shears.runtime.device import prepare
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record
from shears.training.loop import train_network
from shears.training.outputs import TrainingFiles, save_candidate
from shears.training.recipe import Recipe
from shears.training.run_context import RunContext, start_run
from shears.training.soft_targets import read_soft_targets

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def train_baseline(
    recipe: Recipe,
    context: RunContext,
    outputs: TrainingFiles,
    *,
    dataset: str,
    teacher_logits: Sequence[str] = (),
) -> None:
    """Trains from the initial weights and writes the candidate."""
    training = read_split(dataset, "train")
    trained, history = train_network(
        initial_parameters(context.seed),
        training,
        read_split(dataset, "validation"),
        recipe,
        context,
        soft_targets=read_soft_targets(
            teacher_logits, len(training.labels), recipe.views
        ),
    )
    save_candidate(trained, history, context, outputs)


if __name__ == "__main__":
    with log_job(f"train_baseline {snakemake.wildcards.baseline}", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        device = prepare(snakemake.threads, snakemake.resources.gpu)
        train_baseline(
            Recipe(**snakemake.params.settings["recipe"]),
            start_run(
                device,
                snakemake.input,
                snakemake.log[0] if snakemake.config["tensorboard"] else None,
                **snakemake.params,
            ),
            TrainingFiles(**snakemake.output),
            **snakemake.input,
        )

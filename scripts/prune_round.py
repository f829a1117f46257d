"""Prunes a candidate to a higher sparsity while fine-tuning it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.pruning.masks import zeros_for
from shears.pruning.rounds import RoundSpec, plan_round
from shears.runtime.device import prepare
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record
from shears.training.loop import steps_per_epoch, train_network
from shears.training.outputs import TrainingFiles, save_candidate
from shears.training.recipe import Recipe
from shears.training.run_context import RunContext, start_run
from shears.training.soft_targets import read_soft_targets
from shears.weight_files.canonical import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def prune_round(
    recipe: Recipe,
    spec: RoundSpec,
    context: RunContext,
    outputs: TrainingFiles,
    *,
    dataset: str,
    previous: str,
    mask_source: str | None = None,
    teacher_logits: Sequence[str] = (),
) -> None:
    """Prunes the previous candidate to exactly the round's sparsity."""
    training = read_split(dataset, "train")
    images = len(training.labels)
    start, masks = plan_round(
        read_weights(previous),
        spec,
        steps=recipe.epochs * steps_per_epoch(images, recipe),
        batch_norm=recipe.batch_norm,
        mask_source=read_weights(mask_source) if mask_source else None,
    )
    trained, history = train_network(
        start,
        training,
        read_split(dataset, "validation"),
        recipe,
        context,
        soft_targets=read_soft_targets(teacher_logits, images, recipe.views),
        masks=masks,
    )
    expected_zeros = zeros_for(spec.sparsity)
    save_candidate(trained, history, context, outputs, expected_zeros=expected_zeros)


if __name__ == "__main__":
    with log_job(
        f"prune_round {snakemake.wildcards.method} {snakemake.wildcards.round}",
        snakemake.log[0],
    ):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        device = prepare(snakemake.threads, snakemake.resources.gpu)
        prune_round(
            Recipe(**snakemake.params.settings["recipe"]),
            RoundSpec(**snakemake.params.settings["round"]),
            start_run(
                device,
                snakemake.input,
                snakemake.log[0] if snakemake.config["tensorboard"] else None,
                **snakemake.params,
            ),
            TrainingFiles(**snakemake.output),
            **snakemake.input,
        )

"""Prunes a candidate to a higher sparsity while it is fine-tuned."""

from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.model.parameters import clean, count_zeros
from shears.pruning.masks import zeros_for
from shears.pruning.rounds import plan_round
from shears.runtime.errors import UserError
from shears.runtime.job_log import stage
from shears.training.loop import steps_per_epoch, train_network
from shears.training.outputs import save_candidate
from shears.training.recipe import Recipe
from shears.training.run_context import begin
from shears.training.soft_targets import read_lessons
from shears.weight_files.canonical import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

CANDIDATES = ("previous", "mask")  # inputs


def prune_round(
    inputs: dict[str, str], outputs: dict[str, str], settings: dict, **how
) -> None:
    """Takes the previous candidate's weights to exactly the round's sparsity."""
    device, options = begin(inputs, settings, **how)
    recipe, sparsity = Recipe(**settings["recipe"]), settings["sparsity"]
    training = read_split(inputs["dataset"], "train")
    weights, masks = plan_round(
        {name: read_weights(inputs[name]) for name in CANDIDATES if name in inputs},
        settings,
        steps=recipe.epochs * steps_per_epoch(len(training.labels), recipe),
    )
    trained, rows = train_network(
        weights,
        training,
        read_split(inputs["dataset"], "validation"),
        recipe,
        lessons=read_lessons(inputs.get("lessons"), len(training.labels)),
        **masks,
        **options,
    )
    trained = clean(trained)
    found, zeros = count_zeros(trained), zeros_for(sparsity)
    if found != zeros:
        raise UserError(
            f"{outputs['weights']}: {found:,} weights are zero, expected exactly "
            f"{zeros:,} for sparsity {sparsity}: training made or lost zeros; change "
            "the seed or the recipe"
        )
    save_candidate(
        trained,
        rows,
        **outputs,
        device=device,
        precision=options["precision"],
        seed=settings["seed"],
    )


if __name__ == "__main__":
    with stage(
        f"prune_round {snakemake.wildcards.method} {snakemake.wildcards.round}",
        snakemake.log[0],
    ):
        prune_round(
            dict(snakemake.input.items()),
            dict(snakemake.output.items()),
            snakemake.params.settings,
            code=snakemake.params.code,
            checkpoint=snakemake.params.checkpoint,
            threads=snakemake.threads,
            gpus=snakemake.resources.gpu,
            log=snakemake.log[0],
            # Not a parameter of the rule: wanting event files must not retrain.
            tensorboard=snakemake.config["tensorboard"],
        )

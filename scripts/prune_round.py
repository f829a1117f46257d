"""Prunes a candidate to a higher sparsity while it is fine-tuned."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shears.candidate import save_candidate
from shears.checkpoint import Checkpoint, stage_key
from shears.dataset import read_split
from shears.device import choose_precision, prepare
from shears.errors import UserError
from shears.pruning import make_mask, zeros_for
from shears.schedules import zeros_by_step
from shears.stage import stage
from shears.training import Recipe, steps_per_epoch, train
from shears.weights import clean, count_zeros, read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def prune_round(
    *,
    dataset: str,
    previous: str,
    files: dict[str, str],
    settings: dict,
    code: str,
    checkpoint: str,
    threads: int,
    log: Path,
    tensorboard: bool,
) -> None:
    """Takes the previous candidate's weights to exactly the round's sparsity."""
    device = prepare(threads)
    seed, precision = settings["seed"], choose_precision(settings["precision"])
    key = stage_key(
        [dataset, previous], {**settings, "precision": precision, "code": code}
    )
    recipe, sparsity = Recipe(**settings["recipe"]), settings["sparsity"]
    training = read_split(dataset, "train")
    weights = read_weights(previous)
    zeros = zeros_for(sparsity)
    trained, rows = train(
        weights,
        training,
        read_split(dataset, "validation"),
        recipe,
        precision=precision,
        seed=seed,
        zeros_by_step=zeros_by_step(
            count_zeros(weights),
            zeros,
            steps=recipe.epochs * steps_per_epoch(len(training.labels), recipe),
            ramp=settings["ramp"],
            updates=settings["mask_updates"],
        ),
        make_mask=partial(make_mask, allocation=settings["allocation"]),
        checkpoint=Checkpoint(checkpoint, key),
        tensorboard=log.with_suffix(".tensorboard") if tensorboard else None,
    )
    trained = clean(trained)
    found = count_zeros(trained)
    if found != zeros:
        raise UserError(
            f"{files['weights']}: {found:,} weights are zero, expected exactly "
            f"{zeros:,} for sparsity {sparsity}: training made others zero; change the "
            "seed or the recipe"
        )
    save_candidate(
        trained, rows, **files, device=device, precision=precision, seed=seed
    )


if __name__ == "__main__":
    with stage(f"prune_round {snakemake.wildcards.round}", snakemake.log[0]):
        prune_round(
            dataset=snakemake.input.dataset,
            previous=snakemake.input.previous,
            files=dict(snakemake.output.items()),
            settings=snakemake.params.settings,
            code=snakemake.params.code,
            checkpoint=snakemake.params.checkpoint,
            threads=snakemake.threads,
            log=Path(snakemake.log[0]),
            # Not a parameter of the rule: wanting event files must not retrain.
            tensorboard=snakemake.config["tensorboard"],
        )

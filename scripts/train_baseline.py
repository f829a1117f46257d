"""Trains the dense network that is pruned."""

from pathlib import Path
from typing import TYPE_CHECKING

from shears.architecture import initial_weights
from shears.candidate import save_candidate
from shears.dataset import read_split
from shears.device import choose_precision, prepare
from shears.stage import stage
from shears.training import Recipe, train

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def train_baseline(
    *,
    dataset: str,
    files: dict[str, str],
    recipe: Recipe,
    precision: str,
    seed: int,
    threads: int,
    log: Path,
    tensorboard: bool,
) -> None:
    """Trains from the initial weights and writes the candidate."""
    device = prepare(threads)
    precision = choose_precision(precision)
    trained, rows = train(
        initial_weights(seed),
        read_split(dataset, "train"),
        read_split(dataset, "validation"),
        recipe,
        precision=precision,
        seed=seed,
        tensorboard=log.with_suffix(".tensorboard") if tensorboard else None,
    )
    save_candidate(
        trained, rows, **files, device=device, precision=precision, seed=seed
    )


if __name__ == "__main__":
    with stage("train_baseline", snakemake.log[0]):
        train_baseline(
            dataset=snakemake.input.dataset,
            files=dict(snakemake.output.items()),
            recipe=Recipe(**snakemake.params.recipe),
            precision=snakemake.params.precision,
            seed=snakemake.params.seed,
            threads=snakemake.threads,
            log=Path(snakemake.log[0]),
            # Not a parameter of the rule: wanting event files must not retrain.
            tensorboard=snakemake.config["tensorboard"],
        )

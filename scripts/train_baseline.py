"""Trains the dense network that is pruned."""

from pathlib import Path
from typing import TYPE_CHECKING

from shears.architecture import initial_weights
from shears.candidate import save_candidate
from shears.checkpoint import Checkpoint, stage_key
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
    settings: dict,
    code: str,
    checkpoint: str,
    threads: int,
    log: Path,
    tensorboard: bool,
) -> None:
    """Trains from the initial weights and writes the candidate."""
    device = prepare(threads)
    seed, precision = settings["seed"], choose_precision(settings["precision"])
    key = stage_key([dataset], {**settings, "precision": precision, "code": code})
    trained, rows = train(
        initial_weights(seed),
        read_split(dataset, "train"),
        read_split(dataset, "validation"),
        Recipe(**settings["recipe"]),
        precision=precision,
        seed=seed,
        checkpoint=Checkpoint(checkpoint, key),
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
            settings=snakemake.params.settings,
            code=snakemake.params.code,
            checkpoint=snakemake.params.checkpoint,
            threads=snakemake.threads,
            log=Path(snakemake.log[0]),
            # Not a parameter of the rule: wanting event files must not retrain.
            tensorboard=snakemake.config["tensorboard"],
        )

"""Asks a dense network what it sees in views of the training images."""

from functools import partial
from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.model.forward import logits
from shears.model.parameters import flatten
from shears.runtime.device import prepare
from shears.runtime.job_log import stage
from shears.training.soft_targets import ask, write_lessons
from shears.weight_files.canonical import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def ask_baseline(
    *,
    dataset: str,
    weights: str,
    lessons: str,
    settings: dict,
    threads: int,
    gpus: int,
) -> None:
    """Writes the network's answers."""
    prepare(threads, gpus)
    forward = partial(logits, flatten(read_weights(weights)))
    images = read_split(dataset, "train").images
    write_lessons(lessons, ask(forward, images, **settings))


if __name__ == "__main__":
    with stage(f"ask_baseline {snakemake.wildcards.baseline}", snakemake.log[0]):
        ask_baseline(
            **dict(snakemake.input.items()),
            **dict(snakemake.output.items()),
            settings=snakemake.params.settings,
            threads=snakemake.threads,
            gpus=snakemake.resources.gpu,
        )

"""Scores a weights file by the assignment's formula, on validation and on test."""

from typing import TYPE_CHECKING

from shears.dataset import read_split
from shears.device import prepare
from shears.files import write_json
from shears.grading import score_file
from shears.stage import stage

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def score_candidate(
    *, weights: str, dataset: str, scores: dict[str, str], threads: int
) -> None:
    """Writes one JSON file a split; no other stage reads the test images."""
    prepare(threads)
    for split, path in scores.items():
        write_json(path, score_file(weights, read_split(dataset, split)))


if __name__ == "__main__":
    with stage(f"score_candidate {snakemake.wildcards.candidate}", snakemake.log[0]):
        score_candidate(
            weights=snakemake.input.weights,
            dataset=snakemake.input.dataset,
            scores=dict(snakemake.output.items()),
            threads=snakemake.threads,
        )

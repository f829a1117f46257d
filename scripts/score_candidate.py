"""Scores a weights file by the assignment's formula, on validation and on test."""

from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.evaluation.grading import score_file
from shears.runtime.device import prepare
from shears.runtime.files import write_csv, write_json
from shears.runtime.job_log import stage

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def score_candidate(
    *, weights: str, dataset: str, scores: dict[str, str], answers: str, threads: int
) -> None:
    """Writes one JSON file a split, and what each test image is and is taken for."""
    prepare(threads)
    for split, path in scores.items():
        data = read_split(dataset, split)
        result, found = score_file(weights, data)
        write_json(path, result)
        if split == "test":
            pairs = zip(data.labels.tolist(), found.tolist(), strict=True)
            write_csv(answers, ({"label": a, "answer": b} for a, b in pairs))


if __name__ == "__main__":
    with stage(f"score_candidate {snakemake.wildcards.candidate}", snakemake.log[0]):
        score_candidate(
            weights=snakemake.input.weights,
            dataset=snakemake.input.dataset,
            scores={split: snakemake.output[split] for split in ("validation", "test")},
            answers=snakemake.output.answers,
            threads=snakemake.threads,
        )

"""Packages the chosen candidate under the submission's file name."""

from typing import TYPE_CHECKING

from shears.reporting.submission import package
from shears.runtime.files import read_json
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def package_submission(
    *,
    candidates: list[str],
    weights: list[str],
    scores: list[str],
    choice: str,
    submission: str,
    manifest: str,
) -> None:
    """Finds the chosen candidate's files and packages them."""
    chosen = read_json(choice)
    index = candidates.index(chosen["candidate"])
    test = read_json(scores[index])
    package(weights[index], submission, manifest, choice=chosen, test=test)


if __name__ == "__main__":
    with log_job("package_submission", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        package_submission(
            candidates=snakemake.params.candidates,
            weights=snakemake.input.weights,
            scores=snakemake.input.scores,
            choice=snakemake.input.choice,
            submission=snakemake.output.submission,
            manifest=snakemake.output.manifest,
        )

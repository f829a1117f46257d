"""Chooses the submission by validation results."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shears.evaluation.selection import choose
from shears.runtime.files import read_json, write_json
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def choose_submission(
    *,
    candidates: list[str],
    scores: list[str],
    choice: str,
    selection: Mapping[str, Any],
) -> None:
    """Reads each candidate's validation results and writes the choice."""
    by_candidate = dict(zip(candidates, map(read_json, scores), strict=True))
    write_json(choice, choose(by_candidate, **selection))


if __name__ == "__main__":
    with log_job("choose_submission", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        choose_submission(
            candidates=snakemake.params.candidates,
            scores=snakemake.input.scores,
            choice=snakemake.output.choice,
            selection=snakemake.params.selection,
        )

"""Scores a class, and writes its leaderboard."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from shears.classroom.leaderboard import describe, write_leaderboard
from shears.data.dataset import read_split
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log = logging.getLogger("shears.classroom")


def prepare_device(threads: int) -> None:
    """Sets up TensorFlow, which takes seconds to import."""
    from shears.runtime.device import prepare

    prepare(threads)


def leaderboard(
    *, submissions: str, anonymous: bool, dataset: str, page: str, threads: int
) -> None:
    """Writes the page, the table and the JSON file, and logs the best students."""
    made = write_leaderboard(
        Path(submissions),
        Path(page).parent,
        partial(read_split, dataset, "test"),
        anonymous=anonymous,
        prepare=partial(prepare_device, threads),
    )
    for line in describe(made):
        log.info("%s", line)


if __name__ == "__main__":
    with log_job("leaderboard", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        leaderboard(
            submissions=snakemake.params.submissions,
            anonymous=snakemake.params.anonymous,
            dataset=snakemake.input.dataset,
            page=snakemake.output.page,
            threads=snakemake.threads,
        )

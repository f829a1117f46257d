"""Packs the submission into one zip file."""

from typing import TYPE_CHECKING

from shears.reporting.submission import pack
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def pack_submission(
    *, manifest: str, files: list[str], archive: str, filled: bool
) -> None:
    """Packs the files and the manifest."""
    pack(manifest, files, archive, filled=filled)


if __name__ == "__main__":
    with log_job("pack_submission", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        pack_submission(
            manifest=snakemake.input.manifest,
            files=list(snakemake.input.files),
            archive=snakemake.output.archive,
            filled=snakemake.params.filled,
        )

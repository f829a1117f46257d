"""Fetches the CIFAR-10 archive from CIFAR10_ARCHIVE, or else from the network."""

import os
from typing import TYPE_CHECKING

from shears.data.download import (
    copy_archive,
    download_archive,
    log_local_archives,
)
from shears.runtime.job_log import log_job

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def download_cifar10(*, archive: str, urls: list[str], sha256: str) -> None:
    """Puts the archive where the workflow keeps it."""
    # Read here, not in the rule: another source must not rerun anything.
    source = os.environ.get("CIFAR10_ARCHIVE")
    if source:
        copy_archive(source, archive, sha256=sha256)
    else:
        log_local_archives(sha256)
        download_archive(archive, urls=urls, sha256=sha256)


if __name__ == "__main__":
    with log_job("download_cifar10", snakemake.log[0]):
        download_cifar10(
            archive=snakemake.output.archive,
            # Not parameters of the rule: another server must not retrain anything.
            urls=snakemake.config["data"]["urls"],
            sha256=snakemake.config["data"]["sha256"],
        )

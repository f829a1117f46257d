"""Prepares the HDF5 file of training, validation and test images."""

from typing import TYPE_CHECKING

from shears.data.cifar10 import read_archive
from shears.data.dataset import Split, write_dataset
from shears.data.digits import read_digits
from shears.data.splits import join, split_off
from shears.runtime.files import verify
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def prepare_dataset(
    *,
    archive: str,
    dataset: str,
    name: str,
    validation_images: int,
    training_images: int,
    seed: int,
    all_images: bool = False,
) -> None:
    """Reads the archive, or scikit-learn's digits, and splits the images.

    With `all_images`, validation images are training images too, the last ones, and
    the file has no image to validate or to test on.
    """
    if name == "digits":
        rest, test = read_digits(seed)
    else:
        verify(archive)  # it may have changed since it was downloaded
        rest, test = read_archive(archive)
    train, validation = split_off(rest, validation_images, seed)
    if training_images:
        _, train = split_off(train, training_images, seed)
    if all_images:
        nothing = Split(validation.images[:0], validation.labels[:0])
        splits = {"train": join(train, validation), "validation": nothing}
    else:
        splits = {"train": train, "validation": validation, "test": test}
    write_dataset(dataset, splits)


if __name__ == "__main__":
    with log_job("prepare_dataset", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        prepare_dataset(
            archive=snakemake.input.get("archive", ""),
            dataset=snakemake.output.dataset,
            **snakemake.params.settings,
        )

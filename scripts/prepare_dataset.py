"""Makes the HDF5 file of train, validation and test images."""

from typing import TYPE_CHECKING

from shears.dataset import write_dataset
from shears.raw_data import read_archive, read_digits, split_off
from shears.stage import stage

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def prepare_dataset(
    *, archive: str | None, dataset: str, validation_images: int, seed: int
) -> None:
    """Reads the archive, or scikit-learn's digits without one, and splits."""
    rest, test = read_archive(archive) if archive else read_digits(seed)
    train, validation = split_off(rest, validation_images, seed)
    write_dataset(dataset, {"train": train, "validation": validation, "test": test})


if __name__ == "__main__":
    with stage("prepare_dataset", snakemake.log[0]):
        prepare_dataset(
            archive=snakemake.input.get("archive"),
            dataset=snakemake.output.dataset,
            validation_images=snakemake.params.validation_images,
            seed=snakemake.params.seed,
        )

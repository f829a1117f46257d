"""The prepared data: one HDF5 file with a group per split."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from shears.runtime.errors import UserError, brief
from shears.runtime.files import verify, write_bytes
from shears.runtime.hdf5 import open_hdf5

MOST_IMAGES = 60_000  #: of a split; no data set has more


class Split(NamedTuple):
    """Images and their labels.

    Attributes:
        images: (N, 32, 32, 3) uint8.
        labels: (N,) uint8, 0 to 9.
    """

    images: np.ndarray
    labels: np.ndarray


def write_dataset(path: str | Path, splits: Mapping[str, Split]) -> None:
    """Writes one HDF5 file: a group per split with ``images`` and ``labels``."""
    content = io.BytesIO()  # in memory, since HDF5 copes badly with a full disk
    with h5py.File(content, "w") as file:
        for name, split in splits.items():
            file.create_dataset(f"{name}/images", data=split.images)
            file.create_dataset(f"{name}/labels", data=split.labels)
    write_bytes(path, content.getbuffer())


def read_split(path: str | Path, name: str) -> Split:
    """Reads one split of a prepared file, without the others.

    Raises:
        UserError: The file is damaged or has no such split.
        OSError: It cannot be read.
    """
    verify(path)
    try:
        with open_hdf5(path) as file:
            images, labels = file[f"{name}/images"], file[f"{name}/labels"]
            # Before they are read: a file of a kilobyte may claim to hold terabytes.
            if labels.ndim != 1 or len(labels) > MOST_IMAGES:
                raise ValueError(f"labels of shape {labels.shape}")
            if images.shape != (len(labels), 32, 32, 3):
                raise ValueError(f"images of shape {images.shape}")
            if not images.dtype == labels.dtype == np.uint8:
                raise ValueError(f"images of dtype {images.dtype}")
            return Split(images[:], labels[:])
    except (MemoryError, OSError):  # the file's contents are not to blame
        raise
    except Exception as error:  # h5py raises almost anything on a wrong file
        # Anybody's file may be given to the scorer, so do not advise to delete it.
        raise UserError(
            f"{path}: not a prepared data set (its {name} split: {brief(error)}); "
            "expected a dataset.h5 that the workflow wrote; it is made again by: "
            "snakemake --forcerun prepare_dataset"
        ) from error

"""Soft targets: a teacher's logits for augmented views of the training images.

The logits are saved once, for a fixed number of views of each image, and students draw
from these views. So the teacher's cost does not grow with the number of students, and
teacher and student see the same view (Beyer et al. 2022, section 3.1: a consistent
teacher).
"""

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from shears.data.augmentation import ImageTable, draw_views
from shears.data.views import ViewSettings
from shears.runtime.backend import tf
from shears.runtime.errors import brief
from shears.runtime.files import damaged, verify, write_bytes
from shears.runtime.hdf5 import open_hdf5

log = logging.getLogger(__name__)

BATCH = 500


class SoftTargets(NamedTuple):
    """A teacher's logits.

    Attributes:
        views: (N, V, 3) uint8: first row, first column, mirrored or not.
        logits: (N, V, 10) float16.
        crop: Largest shift of a view in pixels.
    """

    views: np.ndarray
    logits: np.ndarray
    crop: int


def compute_soft_targets(
    forward: Callable[[tf.Tensor], tf.Tensor],
    images: np.ndarray,
    settings: ViewSettings,
) -> SoftTargets:
    """Computes a teacher's logits for views of every image.

    Args:
        forward: The teacher: pixels / 255 (B, 32, 32, 3) float32 to logits (B, 10).
        images: (N, 32, 32, 3) uint8.
        settings: Which views.
    """
    count, crop = settings.count, settings.crop
    views = draw_views(
        len(images), count, crop=crop, flip=settings.flip, seed=settings.seed
    )
    table = ImageTable(images, crop)

    @tf.function(reduce_retracing=True)
    def logits_of(rows: tf.Tensor, views: tf.Tensor) -> tf.Tensor:
        cut = table.cut(rows, views[:, :2], views[:, 2] > 0)
        return forward(tf.cast(cut, tf.float32) / 255)

    logits = np.empty((*views.shape[:2], 10), np.float16)
    for view in range(count):
        for start in range(0, len(images), BATCH):
            rows = np.arange(start, min(start + BATCH, len(images)), dtype=np.int32)
            batch_views = views[rows, view].astype(np.int32)
            logits[rows, view] = logits_of(
                tf.constant(rows), tf.constant(batch_views)
            ).numpy()
        log.info("computed the logits of view %d/%d", view + 1, count)
    return SoftTargets(views, logits, crop)


def write_soft_targets(path: str | Path, targets: SoftTargets) -> None:
    """Writes one HDF5 file; the same soft targets give the same bytes."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("views", data=targets.views, track_times=False)
        file.create_dataset("logits", data=targets.logits, track_times=False)
        file.attrs["crop"] = targets.crop
    write_bytes(path, content.getbuffer())


def read_soft_targets(
    path: str | Path | None, images: int, views: int = 0
) -> SoftTargets | None:
    """Reads what `write_soft_targets` wrote; None if there is no teacher.

    Args:
        path: The file, or None.
        images: How many images it must cover.
        views: How many views to read of each image, the first ones; 0 for all.

    Raises:
        UserError: The file is damaged, or for another number of images.
        OSError: It cannot be read.
    """
    if path is None:
        return None
    verify(path)
    try:
        with open_hdf5(path) as file:
            some = np.s_[:, : views or None]
            targets = SoftTargets(
                file["views"][some], file["logits"][some], int(file.attrs["crop"])
            )
        count = targets.logits.shape[1]
        if targets.views.shape != (images, count, 3):
            raise ValueError(f"views of shape {targets.views.shape}")
        if targets.logits.shape != (images, count, 10):
            raise ValueError(f"logits of shape {targets.logits.shape}")
        return targets
    except (MemoryError, OSError):  # the file's contents are not to blame
        raise
    except Exception as error:  # h5py raises nearly anything on a damaged file
        raise damaged(path, f"not a teacher's logits: {brief(error)}") from error

"""A teacher's answers to views of the training images, to be learnt from.

A view is one way to shift and mirror an image. The teacher is asked once about a fixed
number of views of each image; whoever learns from it draws among these. So its cost
does not grow with the number of students, and it sees what they see
(Beyer et al. 2022, section 3.1: a consistent teacher).
"""

import io
import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from shears.data.augmentation import ImageTable, draw_views
from shears.runtime.backend import tf
from shears.runtime.errors import brief
from shears.runtime.files import damaged, verify, write_bytes

log = logging.getLogger(__name__)

BATCH = 500


class Lessons(NamedTuple):
    """What a teacher says.

    Attributes:
        views: (N, V, 3) uint8: first line, first column, mirrored or not.
        logits: (N, V, 10) float16.
        crop: Pixels that views are shifted by at most.
    """

    views: np.ndarray
    logits: np.ndarray
    crop: int


def write_lessons(path: str | Path, lessons: Lessons) -> None:
    """Writes one HDF5 file; the same lessons give the same bytes."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset("views", data=lessons.views, track_times=False)
        file.create_dataset("logits", data=lessons.logits, track_times=False)
        file.attrs["crop"] = lessons.crop
    write_bytes(path, content.getbuffer())


def read_lessons(path: str | Path | None, images: int) -> Lessons | None:
    """Reads what `write_lessons` wrote about so many images; None if there is no file.

    Raises:
        UserError: The file is damaged or of other images.
    """
    if path is None:
        return None
    verify(path)
    try:
        with h5py.File(path, "r") as file:
            lessons = Lessons(
                file["views"][:], file["logits"][:], int(file.attrs["crop"])
            )
        count = lessons.logits.shape[1]
        if lessons.views.shape != (images, count, 3):
            raise ValueError(f"views of shape {lessons.views.shape}")
        if lessons.logits.shape != (images, count, 10):
            raise ValueError(f"logits of shape {lessons.logits.shape}")
        return lessons
    except (MemoryError, PermissionError):  # the file is not to blame
        raise
    except Exception as error:  # h5py raises nearly anything on a damaged file
        raise damaged(path, f"a teacher's answers: {brief(error)}") from error


def ask(
    forward: Callable[[tf.Tensor], tf.Tensor],
    images: np.ndarray,
    *,
    count: int,
    crop: int,
    flip: bool,
    seed: int,
) -> Lessons:
    """Asks a teacher about views of every image.

    Args:
        forward: The teacher: pixels / 255 (B, 32, 32, 3) float32 to logits (B, 10).
        images: (N, 32, 32, 3) uint8.
        count: How many of each image.
        crop: Pixels that they are shifted by at most.
        flip: Whether some are mirrored.
        seed: Of the draw.
    """
    drawn = draw_views(len(images), count, crop=crop, flip=flip, seed=seed)
    table = ImageTable(images, crop)

    @tf.function(reduce_retracing=True)
    def answer(rows: tf.Tensor, views: tf.Tensor) -> tf.Tensor:
        cut = table.cut(rows, views[:, :2], views[:, 2] > 0)
        return forward(tf.cast(cut, tf.float32) / 255)

    answers = np.empty((*drawn.shape[:2], 10), np.float16)
    for view in range(count):
        for start in range(0, len(images), BATCH):
            rows = np.arange(start, min(start + BATCH, len(images)), dtype=np.int32)
            seen = drawn[rows, view].astype(np.int32)
            answers[rows, view] = answer(tf.constant(rows), tf.constant(seen)).numpy()
        log.info("asked about view %d/%d", view + 1, count)
    return Lessons(drawn, answers, crop)

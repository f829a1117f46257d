"""Soft targets: a teacher's logits for augmented views of the training images.

The logits are saved once, for a fixed number of views of each image, and an epoch of a
student uses one view after the other. So the teacher's cost does not grow with the
number of students, and teacher and student see the same view (Beyer et al. 2022,
section 3.1: a consistent teacher).
"""

import io
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from shears.data.augmentation import ImageTable
from shears.data.views import View, ViewSettings, draw_view
from shears.runtime.backend import tf
from shears.runtime.errors import brief
from shears.runtime.files import damaged, verify, write_bytes
from shears.runtime.hdf5 import open_hdf5

log = logging.getLogger(__name__)

BATCH = 500


class SoftTargets(NamedTuple):
    """A teacher's logits for V views of each of N images.

    Attributes:
        places: (V, N, 3) uint8, as in `View`.
        partners: (V, N) int32.
        shares: (V, N) float16.
        logits: (V, N, 10) float16.
        crop: Largest shift of a view in pixels.
    """

    places: np.ndarray
    partners: np.ndarray
    shares: np.ndarray
    logits: np.ndarray
    crop: int

    @property
    def mixed(self) -> bool:
        """Whether any image is mixed with another one."""
        return bool((self.shares < 1).any())


ARRAYS = {"places": (3,), "partners": (), "shares": (), "logits": (10,)}  # after (V, N)


def compute_soft_targets(
    forward: Callable[[tf.Tensor], tf.Tensor],
    images: np.ndarray,
    settings: ViewSettings,
    numbers: Sequence[int],
    *,
    precision: str = "float32",
) -> SoftTargets:
    """Computes a teacher's logits for views of every image.

    Where views are mirrored, the logits are the mean of those for a view and for its
    mirror image, and both have them.

    Args:
        forward: The teacher: pixels / 255 (B, 32, 32, 3) in the precision to logits
            (B, 10).
        images: (N, 32, 32, 3) uint8.
        settings: How views are drawn.
        numbers: Which views.
        precision: "float32" or "bfloat16".
    """
    table, dtype = ImageTable(images, settings.crop), tf.as_dtype(precision)
    every = tf.constant(np.arange(len(images), dtype=np.int32))

    @tf.function(reduce_retracing=True)
    def logits_of(
        rows: tf.Tensor, places: tf.Tensor, partners: tf.Tensor, shares: tf.Tensor
    ) -> tf.Tensor:
        pixels = table.mix(rows, places, partners, shares, dtype)
        outputs = forward(pixels)
        if settings.flip:
            outputs = (outputs + forward(tf.reverse(pixels, [2]))) / 2
        return outputs

    def compute(view: View) -> np.ndarray:
        places = tf.constant(view.places.astype(np.int32))
        partners, shares = tf.constant(view.partners), tf.constant(view.shares)
        return np.concatenate(
            [
                logits_of(every[i : i + BATCH], places, partners, shares).numpy()
                for i in range(0, len(images), BATCH)
            ]
        ).astype(np.float16)

    views: list[View] = []
    logits: list[np.ndarray] = []
    for number in numbers:
        view = draw_view(len(images), number, settings)
        mirrors_last = settings.flip and number % 2 and number - 1 in numbers
        logits.append(logits[-1] if mirrors_last else compute(view))
        views.append(view)
        log.info("computed the logits of view %d/%d", len(views), len(numbers))
    places, partners, shares = (np.stack(array) for array in zip(*views, strict=True))
    return SoftTargets(places, partners, shares, np.stack(logits), settings.crop)


def write_soft_targets(path: str | Path, targets: SoftTargets) -> None:
    """Writes one HDF5 file; the same soft targets give the same bytes."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name in ARRAYS:
            file.create_dataset(name, data=getattr(targets, name), track_times=False)
        file.attrs["crop"] = targets.crop
    write_bytes(path, content.getbuffer())


def read_soft_targets(
    paths: Sequence[str | Path], images: int, views: int = 0
) -> SoftTargets | None:
    """Reads what `write_soft_targets` wrote, in one or more files.

    Args:
        paths: The files, in the order of the views; none if there is no teacher.
        images: How many images they must cover.
        views: How many views to use, the first ones; 0 for all.

    Raises:
        UserError: A file is damaged, or for another number of images.
        OSError: It cannot be read.
    """
    parts: list[SoftTargets] = []
    for path in paths:
        if not views or sum(len(part.logits) for part in parts) < views:
            parts.append(_read(path, images))
    if not parts:
        return None
    joined = {
        name: np.concatenate([getattr(part, name) for part in parts])[: views or None]
        for name in ARRAYS
    }
    return SoftTargets(**joined, crop=parts[0].crop)


def _read(path: str | Path, images: int) -> SoftTargets:
    """Reads one file."""
    verify(path)
    try:
        with open_hdf5(path) as file:
            arrays = {name: file[name][:] for name in ARRAYS}
            crop = int(file.attrs["crop"])
        views = len(arrays["logits"])
        for name, shape in ARRAYS.items():
            if arrays[name].shape != (views, images, *shape):
                raise ValueError(f"{name} of shape {arrays[name].shape}")
        return SoftTargets(**arrays, crop=crop)
    except (MemoryError, OSError):  # the file's contents are not to blame
        raise
    except Exception as error:  # h5py raises nearly anything on a damaged file
        raise damaged(path, f"not a teacher's logits: {brief(error)}") from error

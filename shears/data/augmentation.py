"""Images in memory, from which shifted and mirrored views are cut."""

import numpy as np

from shears.runtime.backend import tf


class ImageTable:
    """All images, padded, as one table of pixels."""

    def __init__(self, images: np.ndarray, crop: int):
        """Pads (N, 32, 32, 3) uint8 by `crop` pixels, reflected at the edges."""
        border = ((0, 0), (crop, crop), (crop, crop), (0, 0))
        padded = np.pad(images, border, mode="reflect")
        self.side = padded.shape[1]
        self.pixels = tf.constant(padded.reshape(-1, 3))

    def cut(
        self, rows: tf.Tensor, offsets: tf.Tensor, mirrored: tf.Tensor
    ) -> tf.Tensor:
        """Gathers views.

        Args:
            rows: (B,) int32, which images.
            offsets: (B, 2) int32, first line and column of each, in the padded image.
            mirrored: (B,) bool, whether left and right change places.

        Returns:
            (B, 32, 32, 3) uint8.
        """
        pixels = tf.range(32)
        lines, first = offsets[:, :1] + pixels, offsets[:, 1:]  # (B, 32), (B, 1)
        columns = tf.where(mirrored[:, None], first + 31 - pixels, first + pixels)
        # One gather of pixels: cheaper than cutting out and mirroring image by image.
        lines = rows[:, None] * self.side + lines
        return tf.gather(self.pixels, lines[:, :, None] * self.side + columns[:, None])


def draw_views(
    images: int, views: int, *, crop: int, flip: bool, seed: int
) -> np.ndarray:
    """Draws which views the teacher is asked about: (images, views, 3) uint8."""
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, 2 * crop + 1, (images, views, 2), np.uint8)
    mirrored = rng.integers(0, 2, (images, views, 1), np.uint8) * np.uint8(flip)
    return np.concatenate([offsets, mirrored], 2)

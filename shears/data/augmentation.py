"""Augmentation: training images, shifted and mirrored at random."""

import numpy as np

from shears.runtime.backend import tf


def draw_views(
    images: int, views: int, *, crop: int, flip: bool, seed: int
) -> np.ndarray:
    """Draws views of each image: (images, views, 3) uint8, as row, column, mirrored."""
    rng = np.random.default_rng(seed)
    offsets = rng.integers(0, 2 * crop + 1, (images, views, 2), np.uint8)
    mirrored = rng.integers(0, 2, (images, views, 1), np.uint8) * np.uint8(flip)
    return np.concatenate([offsets, mirrored], 2)


class ImageTable:
    """All images, padded, as one table of pixels."""

    def __init__(self, images: np.ndarray, crop: int):
        """Pads (N, 32, 32, 3) uint8 by `crop` pixels, reflected at the edges."""
        border = ((0, 0), (crop, crop), (crop, crop), (0, 0))
        padded = np.pad(images, border, mode="reflect")
        self.crop, self.side = crop, padded.shape[1]
        self.pixels = tf.constant(padded.reshape(-1, 3))

    def cut(
        self, rows: tf.Tensor, offsets: tf.Tensor, mirrored: tf.Tensor
    ) -> tf.Tensor:
        """Cuts views out of the images.

        Args:
            rows: (B,) int32, which images.
            offsets: (B, 2) int32, first row and column of each, in the padded image.
            mirrored: (B,) bool, whether left and right are swapped.

        Returns:
            (B, 32, 32, 3) uint8.
        """
        pixels = tf.range(32)
        lines, first = offsets[:, :1] + pixels, offsets[:, 1:]  # (B, 32), (B, 1)
        columns = tf.where(mirrored[:, None], first + 31 - pixels, first + pixels)
        # One gather of pixels is cheaper than cropping and mirroring image by image.
        lines = rows[:, None] * self.side + lines
        return tf.gather(self.pixels, lines[:, :, None] * self.side + columns[:, None])

    def random_views(self, rows: tf.Tensor, flip: bool, seed: tf.Tensor) -> tf.Tensor:
        """Draws a random view of each image of a batch.

        Args:
            rows: (B,) int32, which images.
            flip: Whether half of them are mirrored.
            seed: (2,) int32; this seed and the next one are used.

        Returns:
            (B, 32, 32, 3) uint8.
        """
        count = tf.shape(rows)[0]
        offsets = tf.random.stateless_uniform(
            (2, count), seed, 0, 2 * self.crop + 1, tf.int32
        )
        mirrored = tf.zeros((count,), tf.bool)
        if flip:
            mirrored = tf.random.stateless_uniform((count,), seed + [0, 1]) < 0.5
        return self.cut(rows, tf.transpose(offsets), mirrored)

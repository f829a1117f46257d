"""Augmentation: training images, shifted and mirrored at random."""

import numpy as np

from shears.runtime.backend import tf


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

    def shift(self, rows: tf.Tensor, mirrored: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Cuts a view at random out of each image of a batch.

        Args:
            rows: (B,) int32, which images.
            mirrored: (B,) bool, whether left and right are swapped.
            seed: (2,) int32.

        Returns:
            (B, 32, 32, 3) uint8.
        """
        shape, most = (2, tf.shape(rows)[0]), 2 * self.crop + 1
        offsets = tf.random.stateless_uniform(shape, seed, 0, most, tf.int32)
        return self.cut(rows, tf.transpose(offsets), mirrored)

    def mix(
        self,
        rows: tf.Tensor,
        places: tf.Tensor,
        partners: tf.Tensor,
        shares: tf.Tensor,
        dtype: tf.DType,
    ) -> tf.Tensor:
        """Cuts views, and mixes each with its partner's (Zhang et al. 2018, eq. 1).

        Args:
            rows: (B,) int32, which images.
            places: (N, 3) int32 for all images, as in `View`.
            partners: (N,) int32.
            shares: (N,) float16.
            dtype: float32 or bfloat16.

        Returns:
            (B, 32, 32, 3), pixels / 255.
        """

        def pixels(rows: tf.Tensor) -> tf.Tensor:
            place = tf.gather(places, rows)
            return tf.cast(self.cut(rows, place[:, :2], place[:, 2] > 0), dtype) / 255

        share = tf.cast(tf.gather(shares, rows), dtype)[:, None, None, None]
        return share * pixels(rows) + (1 - share) * pixels(tf.gather(partners, rows))

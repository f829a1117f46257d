"""Predicts with many networks on the same images, as fast as the machine can.

Where bfloat16 is several times as fast as float32, most images need no more: their best
logit leads by far more than bfloat16 can change. The others are computed in float32.
"""

import numpy as np

from shears.data.dataset import Split
from shears.evaluation.grading import BATCH
from shears.model.architecture import CLASSES, PARAMETERS
from shears.model.forward import logits
from shears.model.parameters import Parameters
from shears.runtime.backend import tf
from shears.runtime.device import choose_precision

SAMPLED = 20  # of this many images, one is computed in both precisions
#: An image is computed in float32 if its best logit leads by less than this many times
#: the largest error that bfloat16 makes on the sample.
SAFETY = 4.0


def _errors(rough: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Computes how far bfloat16 is off: (N,), the most that a lead changes."""
    best = rough.argmax(1)[:, None]
    leads = (np.take_along_axis(some, best, 1) - some for some in (rough, exact))
    return np.abs(next(leads) - next(leads)).max(1)


class Screen:
    """Predicts the classes of the same images with any network."""

    def __init__(self, data: Split, precision: str = "auto") -> None:
        """Takes the images.

        Args:
            data: The images; the labels are not used.
            precision: Of the first pass (`choose_precision`).
        """
        self._images = data.images
        self._fast = choose_precision(precision) == "bfloat16"
        vector = tf.TensorSpec((PARAMETERS,), tf.float32)
        images = tf.TensorSpec((None, 32, 32, 3), tf.uint8)

        def forward(vector: tf.Tensor, images: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
            return logits(vector, tf.cast(tf.cast(images, tf.float32) / 255, dtype))

        self._forward = {
            dtype: tf.function(
                lambda vector, images, dtype=dtype: forward(vector, images, dtype),
                input_signature=[vector, images],
            )
            for dtype in (tf.float32, tf.bfloat16)
        }

    def _logits(
        self, vector: tf.Tensor, rows: np.ndarray, dtype: tf.DType
    ) -> np.ndarray:
        """Computes the logits of some images: (N, 10) float32."""
        result = np.empty((len(rows), CLASSES), np.float32)
        for start in range(0, len(rows), BATCH):
            batch = slice(start, start + BATCH)
            outputs = self._forward[dtype](vector, self._images[rows[batch]])
            result[batch] = outputs.numpy()
        return result

    def predict(self, parameters: Parameters) -> np.ndarray:
        """Predicts the class of each image: (N,) uint8.

        Two classes whose logits are equal but for rounding may be confused with each
        other, as between any two programs.
        """
        vector = tf.constant(parameters.vector, tf.float32)
        every = np.arange(len(self._images))
        if not self._fast:
            return self._logits(vector, every, tf.float32).argmax(1).astype(np.uint8)
        rough = self._logits(vector, every, tf.bfloat16)
        sample = every[::SAMPLED]
        exact = self._logits(vector, sample, tf.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            error = _errors(rough[sample], exact).max(initial=0)
            best = np.sort(rough, 1)
            leads = best[:, -1] - best[:, -2]
            doubtful = every[~(leads > SAFETY * error)]  # those with NaN, too
            again = self._logits(vector, doubtful, tf.float32)
            held = _errors(rough[doubtful], again).max(initial=0) <= SAFETY / 2 * error
        predictions = rough.argmax(1)
        predictions[sample] = exact.argmax(1)
        predictions[doubtful] = again.argmax(1)
        if not held:  # the sample has told too little of this network
            predictions = self._logits(vector, every, tf.float32).argmax(1)
        return predictions.astype(np.uint8)

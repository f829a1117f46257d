"""Scores parameters as the assignment's grader does."""

from pathlib import Path
from typing import Any

import numpy as np

from shears.data.dataset import Split
from shears.evaluation.score import score
from shears.model.architecture import PARAMETERS
from shears.model.forward import build_keras_model
from shears.model.parameters import Parameters
from shears.runtime.backend import tf
from shears.weight_files.canonical import read_weights

BATCH = 500  # images at a time: keeps memory low and divides 10,000


def grade(
    parameters: Parameters, predictions: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """Computes what a grader says of a network's predictions.

    Args:
        parameters: The network's.
        predictions: (N,), a class for each image.
        labels: (N,).

    Returns:
        images, correct, accuracy, zeros, parameters, sparsity, score.
    """
    zeros = parameters.count_zeros()
    correct = int((predictions == labels).sum())
    accuracy = correct / len(labels)
    return {
        "images": len(labels),
        "correct": correct,
        "accuracy": accuracy,
        "zeros": zeros,
        "parameters": PARAMETERS,
        "sparsity": zeros / PARAMETERS,
        "score": score(accuracy, zeros),
    }


class GradedNetwork:
    """A network with its parameters, ready to be scored in float32."""

    def __init__(self, model: "tf.keras.Model", parameters: Parameters):
        """Takes the Keras model and its parameters."""
        # On a GPU, float32 may quietly mean TensorFloat-32, which graders do not use.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self._model, self.parameters = model, parameters

    @classmethod
    def from_parameters(cls, parameters: Parameters) -> "GradedNetwork":
        """Builds the network and sets its parameters."""
        model = build_keras_model()
        model.set_weights(parameters.arrays)
        return cls(model, parameters)

    @classmethod
    def from_file(cls, weights_file: str | Path) -> "GradedNetwork":
        """Builds the network and loads a file with Keras' ``load_weights``.

        Args:
            weights_file: In the layout of `weight_files.canonical`.

        Raises:
            UserError: The file cannot be scored (`read_weights`).
        """
        parameters = read_weights(weights_file)
        model = build_keras_model()
        model.load_weights(str(weights_file))
        return cls(model, parameters)

    def score(self, data: Split) -> tuple[dict[str, Any], np.ndarray]:
        """Scores the network on one split.

        Args:
            data: Validation or test images.

        Returns:
            What `grade` says, and the prediction for each image: (N,) uint8.
        """
        predictions = np.empty_like(data.labels)
        for start in range(0, len(data.labels), BATCH):
            batch = slice(start, start + BATCH)
            images = data.images[batch].astype(np.float32) / 255
            outputs = self._model.predict_on_batch(images)
            predictions[batch] = outputs.argmax(axis=1)
        return grade(self.parameters, predictions, data.labels), predictions

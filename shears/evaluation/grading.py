"""Scoring weights the way the assignment's grader does."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from shears.data.dataset import Split
from shears.evaluation.score import score
from shears.model.architecture import PARAMETERS
from shears.model.forward import build_keras_model
from shears.model.parameters import count_zeros
from shears.runtime.backend import tf
from shears.weight_files.canonical import read_weights

BATCH = 500  # images at a time: keeps memory low and divides 10,000


def _build() -> tf.keras.Model:
    """Builds the network afresh."""
    # On a GPU float32 may quietly mean TensorFloat-32, which is not what graders use.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    return build_keras_model()


def _grade(
    model: tf.keras.Model, weights: Sequence[np.ndarray], data: Split
) -> tuple[dict, np.ndarray]:
    """Asks a model that has the weights, in float32."""
    answers = np.empty_like(data.labels)
    for start in range(0, len(data.labels), BATCH):
        batch = slice(start, start + BATCH)
        images = data.images[batch].astype(np.float32) / 255
        answers[batch] = model.predict_on_batch(images).argmax(axis=1)
    zeros = count_zeros(weights)
    correct = int((answers == data.labels).sum())
    accuracy = correct / len(data.labels)
    result = {
        "images": len(data.labels),
        "correct": correct,
        "accuracy": accuracy,
        "zeros": zeros,
        "parameters": PARAMETERS,
        "sparsity": zeros / PARAMETERS,
        "score": score(accuracy, zeros),
    }
    return result, answers


def score_weights(
    weights: Sequence[np.ndarray], data: Split
) -> tuple[dict, np.ndarray]:
    """Scores weights on one split, as `score_file` does.

    Args:
        weights: The twelve arrays, float32.
        data: Validation or test images.

    Returns:
        images, correct, accuracy, zeros, parameters, sparsity, score; and what the
        network takes each image for: (N,) uint8.
    """
    model = _build()
    model.set_weights(list(weights))
    return _grade(model, weights, data)


def score_file(weights_file: str | Path, data: Split) -> tuple[dict, np.ndarray]:
    """Scores a weights file on one split, loaded by Keras' `load_weights`.

    Args:
        weights_file: In the layout of `shears.weights`.
        data: Validation or test images.

    Returns:
        As `score_weights`.

    Raises:
        UserError: The file is not fit to be scored (`read_weights`).
    """
    weights = read_weights(weights_file)
    model = _build()
    model.load_weights(str(weights_file))
    return _grade(model, weights, data)

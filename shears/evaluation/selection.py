"""Chooses the submission by validation scores and nothing else."""

import math
from collections.abc import Mapping
from typing import Any

from shears.evaluation.score import LEAST_ACCURACY
from shears.runtime.errors import UserError


def least_safe_accuracy(images: int, margin: float) -> float:
    """Computes the accuracy above which a network safely exceeds 0.65 on new images.

    Args:
        images: Number of images that accuracy is measured on.
        margin: Standard errors of an accuracy of 0.65 on that many images.

    Returns:
        0.65 + margin * sqrt(0.65 * 0.35 / images).
    """
    variance = LEAST_ACCURACY * (1 - LEAST_ACCURACY) / images
    return LEAST_ACCURACY + margin * math.sqrt(variance)


def choose(scores: Mapping[str, Mapping[str, float]], margin: float) -> dict[str, Any]:
    """Chooses the candidate with the best validation score that is safely above 0.65.

    Args:
        scores: Each candidate's score on the validation set (`GradedNetwork.score`).
            The sparser of two equal candidates is chosen.
        margin: Standard errors by which accuracy must exceed 0.65.

    Returns:
        candidate, reason, least_accuracy, refused (candidates below it), validation.

    Raises:
        UserError: No candidate is safely above 0.65.
    """
    images = int(next(iter(scores.values()))["images"])
    least = least_safe_accuracy(images, margin)
    safe = {name: s for name, s in scores.items() if s["accuracy"] > least}
    if not safe:
        best = max(scores, key=lambda name: scores[name]["accuracy"])
        raise UserError(
            f"no candidate is safely above an accuracy of {LEAST_ACCURACY}: the best, "
            f"{best}, has {scores[best]['accuracy']:.4f} on {images:,} validation "
            f"images, expected more than {least:.4f} ({margin:g} standard errors "
            "above); train longer or prune less"
        )
    name = max(safe, key=lambda name: (safe[name]["score"], safe[name]["sparsity"]))
    return {
        "candidate": name,
        "reason": (
            f"best validation score ({safe[name]['score']:.4f}) of {len(safe)} "
            f"candidates with a validation accuracy above {least:.4f}"
        ),
        "least_accuracy": least,
        "refused": [other for other in scores if other not in safe],
        "validation": dict(safe[name]),
    }

"""Chooses the submission by validation results, never by the test set."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from shears.evaluation.score import LEAST_ACCURACY
from shears.runtime.errors import UserError

Objective = Literal["score", "multiply_adds"]


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


def choose(
    scores: Mapping[str, Mapping[str, float]],
    margin: float,
    *,
    objective: Objective = "score",
    accuracy: float = 0.0,
) -> dict[str, Any]:
    """Chooses the best candidate of those that are safely above an accuracy of 0.65.

    Args:
        scores: Each candidate's score on the validation set (`GradedNetwork.score`),
            and multiply_adds, the multiply-adds left for an image, for that objective.
        margin: Standard errors by which accuracy must exceed 0.65.
        objective: "score": the highest, of equal ones the sparser candidate's.
            "multiply_adds": the fewest, of equal ones the higher score's.
        accuracy: The validation accuracy that a candidate must exceed, too.

    Returns:
        candidate, reason, objective, least_accuracy, refused (candidates not above it),
        validation.

    Raises:
        UserError: No candidate is above both accuracies.
    """
    images = int(next(iter(scores.values()))["images"])
    safe_accuracy = least_safe_accuracy(images, margin)
    least = max(safe_accuracy, accuracy)
    safe = {name: s for name, s in scores.items() if s["accuracy"] > least}
    if not safe:
        best = max(scores, key=lambda name: scores[name]["accuracy"])
        found = (
            f"the best, {best}, has {scores[best]['accuracy']:.4f} on {images:,} "
            f"validation images, expected more than {least:.4f}"
        )
        if least > safe_accuracy:
            raise UserError(
                f"selection: accuracy: no candidate is above {accuracy:g}: {found}; "
                "lower it, train longer or prune less"
            )
        raise UserError(
            f"no candidate is safely above an accuracy of {LEAST_ACCURACY}: {found} "
            f"({margin:g} standard errors above); train longer or prune less"
        )

    def merit(name: str) -> tuple[float, float]:
        score = safe[name]["score"]
        if objective == "score":
            return score, safe[name]["sparsity"]
        return -safe[name]["multiply_adds"], score

    name = max(safe, key=merit)
    what = f"best validation score ({safe[name]['score']:.4f})"
    if objective == "multiply_adds":
        what = f"fewest multiply-adds ({safe[name]['multiply_adds']:,} for an image)"
    return {
        "candidate": name,
        "reason": (
            f"{what} of {len(safe)} candidates with a validation accuracy above "
            f"{least:.4f}"
        ),
        "objective": objective,
        "least_accuracy": least,
        "refused": [other for other in scores if other not in safe],
        "validation": dict(safe[name]),
    }

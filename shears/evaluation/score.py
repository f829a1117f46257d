"""The competition's score."""

from shears.model.architecture import PARAMETERS

LEAST_ACCURACY = 0.65


def score(accuracy: float, zeros: int, parameters: int = PARAMETERS) -> float:
    """Computes the assignment's score (homework 5, section 3.1).

    Args:
        accuracy: Fraction of images classified correctly.
        zeros: Number of parameters that are zero, biases included.
        parameters: Number of parameters.

    Returns:
        (accuracy + zeros / parameters) / 2 when accuracy > 0.65, else 0.
    """
    if accuracy > LEAST_ACCURACY:
        return (accuracy + zeros / parameters) / 2
    return 0.0

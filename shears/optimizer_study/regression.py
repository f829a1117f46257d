"""Linear regression: the problem on which Part A's optimizers are measured.

The model is targets = features . weights + bias; the loss is the mean squared error.
Nothing is downloaded: the data sets are drawn from seeds or come with scikit-learn.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """A data set to fit.

    Attributes:
        features: (N, D) float64.
        targets: (N,) float64.
    """

    features: np.ndarray
    targets: np.ndarray


def check_problem(features: np.ndarray, targets: np.ndarray) -> Problem:
    """Checks arrays and makes a problem of them.

    Args:
        features: (N, D), finite.
        targets: (N,), finite.

    Raises:
        ValueError: A shape is wrong, or the data contains NaN or infinity. The error
            names the argument.
    """
    features, targets = np.asarray(features, float), np.asarray(targets, float)
    if features.ndim != 2 or not features.size:
        raise ValueError(f"features: found shape {features.shape}, expected (N, D)")
    if targets.shape != features.shape[:1]:
        raise ValueError(
            f"targets: found shape {targets.shape}, expected {features.shape[:1]}, one "
            "for each row of features"
        )
    for name, array in (("features", features), ("targets", targets)):
        bad = np.argwhere(~np.isfinite(array))
        if len(bad):
            where = ", ".join(map(str, bad[0]))
            raise ValueError(
                f"{name}: found {array[tuple(bad[0])]} at [{where}] "
                f"({len(bad):,} such values), expected finite numbers"
            )
    return Problem(features, targets)


def diabetes() -> Problem:
    """Loads 442 patients, 10 features and the disease's progress, all standardised.

    Efron, Hastie, Johnstone and Tibshirani (2004), Least angle regression, section 1;
    included in scikit-learn.
    """
    from sklearn.datasets import load_diabetes  # takes a second; only needed here

    data = load_diabetes(scaled=False)
    features = data.data - data.data.mean(0)
    targets = data.target - data.target.mean()
    return check_problem(features / features.std(0), targets / targets.std())


def conditioned(condition: float, count: int = 200, width: int = 10) -> Problem:
    """Draws a regression whose loss has a Hessian of a given condition number.

    The Hessian's eigenvalues are 2 for the bias and, along random directions, 2 down to
    2 / condition, evenly spaced in their logarithm.

    Args:
        condition: Largest over smallest eigenvalue of the Hessian; at least 1.
        count: Rows, N.
        width: Columns, D.
    """
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(count, width))
    rows, _ = np.linalg.qr(rows - rows.mean(0))
    directions, _ = np.linalg.qr(rng.normal(size=(width, width)))
    scales = np.sqrt(count / np.geomspace(1, condition, width))
    features = rows * scales @ directions.T
    weights = rng.normal(size=width)
    noise = 0.1 * rng.normal(size=count)
    return check_problem(features, features @ weights + 1 + noise)


def sparse(count: int = 500, width: int = 20) -> Problem:
    """Draws a regression with rare features on very different scales.

    Feature j is present in a share of the rows, which falls with j from all to 1 in 50,
    and zero elsewhere. Where present it is normal, with a scale between 0.1 and 10. The
    weights undo the scales, so that rare features matter to the few rows that have
    them, as in bags of words.

    Args:
        count: Rows, N.
        width: Columns, D.
    """
    rng = np.random.default_rng(0)
    present = rng.random((count, width)) < np.geomspace(1, 0.02, width)
    scales = rng.permutation(np.geomspace(0.1, 10, width))
    features = present * rng.normal(size=(count, width)) * scales
    weights = rng.choice([-1, 1], width) / scales
    noise = 0.1 * rng.normal(size=count)
    return check_problem(features, features @ weights + 1 + noise)


DATA_SETS: Mapping[str, Callable[[], Problem]] = {
    "diabetes": diabetes,
    "condition_1": lambda: conditioned(1),
    "condition_100": lambda: conditioned(100),
    "condition_10000": lambda: conditioned(10_000),
    "sparse": sparse,
}


def _with_ones(features: np.ndarray) -> np.ndarray:
    return np.column_stack([features, np.ones(len(features))])


def solve(problem: Problem) -> np.ndarray:
    """Solves least squares exactly: (D + 1,) float64, the weights and then the bias."""
    return np.linalg.lstsq(_with_ones(problem.features), problem.targets)[0]


def losses(problem: Problem, parameters: np.ndarray) -> np.ndarray:
    """Computes the mean squared error of K sets of parameters: (K, D + 1) to (K,)."""
    errors = parameters @ _with_ones(problem.features).T - problem.targets
    return np.mean(errors**2, axis=1)


def condition(problem: Problem) -> float:
    """Computes the condition number of the loss' Hessian."""
    return float(np.linalg.cond(_with_ones(problem.features)) ** 2)

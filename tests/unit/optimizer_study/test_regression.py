from typing import get_args

import numpy as np
import pytest

from shears.config import DataSet, OptimizerStudySettings
from shears.optimizer_study.regression import (
    DATA_SETS,
    check_problem,
    condition,
    losses,
    solve,
)


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_data_sets_are_the_same_each_time(name):
    one, other = DATA_SETS[name](), DATA_SETS[name]()
    assert np.array_equal(one.features, other.features)
    assert np.array_equal(one.targets, other.targets)
    assert len(one.features) == len(one.targets) >= 200


@pytest.mark.parametrize("expected", [1, 100, 10_000])
def test_the_hessian_has_the_condition_number_asked_for(expected):
    problem = DATA_SETS[f"condition_{expected}"]()
    assert condition(problem) == pytest.approx(expected, rel=1e-6)
    ones = np.column_stack([problem.features, np.ones(len(problem.targets))])
    values = np.linalg.eigvalsh(2 * ones.T @ ones / len(ones))
    assert values[-1] == pytest.approx(2)


def test_the_sparse_set_has_rare_features_on_different_scales():
    features = DATA_SETS["sparse"]().features
    present = (features != 0).mean(0)
    assert present[0] == 1 and present.min() < 0.05
    scales = [column[column != 0].std() for column in features.T]
    assert max(scales) / min(scales) > 30


@pytest.mark.parametrize("name", DATA_SETS)
def test_the_exact_solution_is_where_the_gradient_is_zero(name):
    problem = DATA_SETS[name]()
    exact = solve(problem)
    ones = np.column_stack([problem.features, np.ones(len(problem.targets))])
    gradient = ones.T @ (ones @ exact - problem.targets)
    assert np.abs(gradient).max() < 1e-8
    rng = np.random.default_rng(0)
    others = exact + 0.01 * rng.normal(size=(20, len(exact)))
    assert np.all(losses(problem, others) > losses(problem, exact[None]))


def test_losses_by_hand():
    problem = check_problem([[1.0], [2.0]], [3.0, 5.0])
    assert solve(problem) == pytest.approx([2, 1])
    # Predictions 1, 1 and then 1, 2.
    assert losses(problem, np.array([[0, 1], [1, 0]])) == pytest.approx([10, 6.5])


@pytest.mark.parametrize(
    ("features", "targets", "message"),
    [
        ([[1.0], [np.nan]], [1.0, 2.0], r"features: found nan at \[1, 0\]"),
        ([[1.0], [np.inf]], [1.0, 2.0], "features: found inf"),
        ([[1.0], [2.0]], [np.nan, 2.0], r"targets: found nan at \[0\]"),
        ([1.0, 2.0], [1.0, 2.0], r"features: found shape \(2,\)"),
        ([[]], [1.0], r"features: found shape \(1, 0\)"),
        ([[1.0], [2.0]], [1.0], r"targets: found shape \(1,\), expected \(2,\)"),
        ([[1.0]], [[1.0]], r"targets: found shape \(1, 1\)"),
    ],
)
def test_bad_data_is_refused_by_name(features, targets, message):
    with pytest.raises(ValueError, match=message):
        check_problem(features, targets)


def test_the_configuration_knows_the_same_data_sets():
    assert get_args(DataSet) == OptimizerStudySettings().data_sets == tuple(DATA_SETS)

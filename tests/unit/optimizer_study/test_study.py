import numpy as np
import pytest

from shears.optimizer_study.study import (
    best_run,
    difference,
    learning_rates,
    points,
    sample_order,
    walk_valley,
)
from shears.runtime.files import write_json
from tests.unit.optimizer_study.conftest import RATES


@pytest.mark.slow
def test_gradient_descent_does_what_theory_predicts(cells):
    """All eigenvalues are 2: an update leaves |1 - 2 rate| of the distance."""
    runs = cells["condition_1"]["gradient_descent"]["ours"]["runs"]
    assert [run["learning_rate"] for run in runs] == RATES
    for run, left in zip(runs[:3], (0.98, 0.8, 0.8), strict=True):
        assert run["updates"][0] == 1
        assert run["distance"][0] == pytest.approx(left, rel=1e-4)
        assert run["arrived"] == int(np.ceil(np.log(0.01) / np.log(left)))
        assert not run["diverged"]
    assert runs[3]["diverged"] and runs[3]["arrived"] is None
    assert runs[3]["loss"][-1] is None  # infinite, which JSON cannot express


@pytest.mark.slow
def test_a_cell_is_json_even_where_it_diverges(cells, tmp_path):
    for pair in cells["condition_1"].values():
        for cell in pair.values():
            write_json(tmp_path / "cell.json", cell)


@pytest.mark.slow
def test_ours_and_keras_measure_the_same(cells):
    for pair in cells["condition_1"].values():
        assert difference(pair["ours"]["runs"], pair["keras"]["runs"]) < 1e-4
        runs = (pair[name]["runs"] for name in ("ours", "keras"))
        for mine, theirs in zip(*runs, strict=True):
            assert mine["arrived"] == theirs["arrived"]
            assert mine["diverged"] == theirs["diverged"]


@pytest.mark.slow
def test_a_difference_is_detected(cells):
    runs = cells["condition_1"]["adam"]["ours"]["runs"]
    other = [{**run, "loss": [1.01 * (x or 1) for x in run["loss"]]} for run in runs]
    assert difference(runs, other) == pytest.approx(0.01 / 1.01)


def run_of(rate, arrived, distance, *, diverged=False, samples="one"):
    return {
        "learning_rate": rate,
        "arrived": arrived,
        "distance": [1.0, distance],
        "diverged": diverged,
        "samples": samples,
    }


def test_the_best_run_arrives_first_or_ends_closest():
    far, near = run_of(1, None, 0.5), run_of(2, None, 0.2)
    late, early = run_of(3, 90, 0.001), run_of(4, 80, 0.3)
    lost = run_of(5, None, None, diverged=True)
    other = run_of(6, 1, 0.0, samples="all")
    assert best_run([far, near, lost, other], "one") is near
    assert best_run([far, late, early, lost, other], "one") is early
    assert best_run([lost, other], "one") is None


def test_samples_come_once_per_epoch():
    order = sample_order(7, 17)
    assert len(order) == 17
    assert sorted(order[:7]) == sorted(order[7:14]) == list(range(7))
    assert np.array_equal(order, sample_order(7, 17))


@pytest.mark.parametrize("updates", [10, 1000, 100_000])
def test_a_curve_goes_from_the_first_update_to_the_last(updates):
    ends = points(updates)
    assert ends[0] == 1 and ends[-1] == updates
    assert np.all(np.diff(ends) > 0) and len(ends) <= 120


def test_learning_rates_are_even_in_their_logarithm():
    assert learning_rates(0.01, 100, 5) == [0.01, 0.1, 1, 10, 100]


def test_the_paths_go_down_the_valley():
    valley = walk_valley()
    for name, path in valley.paths.items():
        away = path - valley.exact
        height = np.einsum("ki,ij,kj->k", away, valley.hessian, away)
        assert len(path) == 61 and np.all(path[0] == 0)
        assert height[-1] < 0.2 * height[0], name

import numpy as np
import pytest

from shears.reporting.candidates import (
    Candidate,
    history_rows,
    mean_scores,
    over_seeds,
    score_rows,
)
from tests.report_pages import candidate
from tests.unit.reporting.specs import values


def test_each_method_has_a_line_of_means_over_seeds():
    candidates = [
        candidate(f"{method}/seed_{seed}/round_{i + 1}", accuracy, 0.9 + i / 100)
        for method in ("erk", "lamp")
        for seed, accuracy in ((0, 0.7), (1, 0.8))
        for i in range(3)
    ]
    rows = values(mean_scores(candidates, "accuracy"))
    assert [(row["method"], row["n"]) for row in rows] == [("erk", 2)] * 3 + [
        ("lamp", 2)
    ] * 3
    assert {round(row["mean"], 6) for row in rows} == {0.75}
    deviation = np.std([0.7, 0.8], ddof=1)
    for row in rows:
        assert row["high"] - row["low"] == pytest.approx(2 * deviation)


def test_a_mean_has_all_seeds_and_one_of_zero_is_left_out():
    good = candidate("lamp/seed_0/round_1", 0.8, 0.9)
    missed, *others = (
        one._replace(test={**one.test, "score": 0.0})
        for one in (
            candidate("lamp/seed_1/round_1", 0.6, 0.9),
            candidate("erk/seed_0/round_1", 0.6, 0.9),
            candidate("erk/seed_1/round_1", 0.5, 0.9),
        )
    )
    chart = mean_scores([good, missed, *others])
    assert [(row["method"], row["mean"], row["n"]) for row in values(chart)] == [
        ("lamp", good.test["score"] / 2, 2)
    ]
    assert "Not shown: 2 candidates whose test score is 0." in chart.text
    assert len(values(mean_scores([missed]))) == 1


def test_a_candidates_name_says_its_method_seed_and_round():
    one = candidate("random_from_scratch/seed_12/round_3", 0.8, 0.9)
    assert one.title == "random from scratch, seed 12, round 3"
    assert (one.method, one.seed, one.round) == ("random from scratch", 12, 3)
    assert (one.stage, one.chain) == ("round 3", "random_from_scratch/seed_12")
    dense = candidate("dense/seed_0", 0.8, 0.0)
    assert (dense.round, dense.stage, dense.chain) == (0, "dense", "dense/seed_0")


def test_candidates_are_grouped_by_method_then_round():
    names = [
        *("dense/seed_0", "dense/seed_1", "lamp/seed_0/round_1"),
        *("lamp/seed_0/round_2", "lamp/seed_1/round_1", "lamp/seed_1/round_2"),
    ]
    groups = over_seeds([candidate(name, 0.8, 0.9) for name in names])
    shown = {
        kind: [[one.name.partition("/")[2] for one in same] for same in rounds]
        for kind, rounds in groups.items()
    }
    assert shown == {
        "dense": [["seed_0", "seed_1"]],
        "lamp": [
            ["seed_0/round_1", "seed_1/round_1"],
            ["seed_0/round_2", "seed_1/round_2"],
        ],
    }


def test_each_candidate_has_a_row_and_the_chosen_is_marked():
    dense = candidate("dense/seed_0", 0.85, 0.0)
    lamp = candidate("lamp/seed_0/round_1", 0.8, 0.9)
    lamp = lamp._replace(test={**lamp.test, "accuracy": 0.7, "score": 0.75})
    first, second = score_rows([dense, lamp], "lamp/seed_0/round_1")
    assert (first["title"], first["chosen"]) == ("dense, seed 0", False)
    assert second == {
        "title": "lamp, seed 0, round 1",
        "method": "lamp",
        "sparsity": 0.9,
        "chosen": True,
        "validation": 0.8,
        "validation_score": pytest.approx(0.85),
        "test": 0.7,
        "test_score": 0.75,
    }


def test_epochs_are_counted_over_a_chain_and_a_cut_ends_with_the_last_rise():
    def stage(name: str, *sparsities: float) -> Candidate:
        history = [
            {"epoch": float(i), "sparsity": s} for i, s in enumerate(sparsities, 1)
        ]
        return candidate(name, 0.8, sparsities[-1])._replace(history=history)

    rows, cuts = history_rows(
        [
            stage("dense/seed_0", 0.0, 0.1),
            stage("lamp/seed_0/round_1", 0.5, 0.9, 0.9),
            stage("lamp/seed_0/round_2", 0.9, 0.9),
        ]
    )
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert [row["stage"] for row in rows[1:3]] == ["dense", "round 1"]
    assert cuts == [
        {"stage": "dense", "start": 0, "cut_end": 0},
        {"stage": "round 1", "start": 2, "cut_end": 4},
        {"stage": "round 2", "start": 5, "cut_end": 5},
    ]


def imported(name: str) -> Candidate:
    one = candidate(name, 0.8, 0.0)
    about = {"file": "a/x.keras", "layout": "Keras 3 model", "writer": "3.15.1"}
    return one._replace(history=[], metrics={**one.metrics, "imported": about})


def test_an_imported_candidate_says_where_it_is_from():
    assert candidate("dense/seed_0", 0.8, 0.0).origin == ""
    assert imported("my_own/seed_0").origin == (
        "The baseline my own was imported from a/x.keras (Keras 3 model, written by "
        "Keras 3.15.1), not trained"
    )


def test_an_imported_baseline_has_no_stage_in_the_learning_curves():
    round_1 = candidate("lamp/seed_0/round_1", 0.8, 0.9)
    rows, cuts = history_rows([imported("mine/seed_0"), round_1])
    assert [(row["stage"], row["epoch"]) for row in rows] == [
        ("round 1", 1),
        ("round 1", 2),
    ]
    assert cuts == [{"stage": "round 1", "start": 0, "cut_end": 1}]
    assert history_rows([imported("mine/seed_0")]) == ([], [])

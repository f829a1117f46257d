import shutil

import pytest

from shears.reporting.runs import (
    chain_of,
    find_candidates,
    find_results,
    name_runs,
    read_run,
)
from shears.runtime.errors import UserError
from tests.invented_runs import begin, finish, write_run


def test_results_are_found_by_their_folder_or_the_one_above(tmp_path):
    results = write_run(tmp_path / "a")
    assert find_results(results) == find_results(tmp_path / "a") == results


def test_a_folder_that_is_no_run_is_refused_in_a_line(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "other/results/x").mkdir(parents=True)
    for name, found in {
        "none": "found no such folder",
        "file": "found a file",
        "other": "found no results of a run in it",
    }.items():
        with pytest.raises(UserError, match=f"{name}: {found}, expected"):
            find_results(tmp_path / name)


def test_a_finished_run_has_no_gaps(tmp_path):
    run = read_run(write_run(tmp_path), "a")
    assert [candidate.name for candidate in run.candidates] == [
        "dense/seed_0",
        "lamp/seed_0/round_1",
        "lamp/seed_0/round_2",
    ]
    assert run.chosen.test["accuracy"] == 0.89
    assert not run.gaps


def test_what_is_missing_of_a_half_finished_run_is_said(tmp_path):
    results = write_run(tmp_path)
    for name in ("choice.json", "configuration.json"):
        (results / name).unlink()
    begin(tmp_path, "lamp/seed_0/round_3")
    finish(tmp_path, "erk/seed_1/round_1", 80, 0.8, scored=False)
    (results / "lamp/notes").mkdir()  # not ours
    run = read_run(results, "a")
    assert run.chosen is None and run.config is None
    assert run.gaps == [
        "Not scored yet: erk, seed 1, round 1; lamp, seed 0, round 3.",
        "Nothing is chosen yet: the run is not finished.",
        "Its settings are unknown: they are kept with the report, by this version of "
        "Shears.",
    ]
    shutil.rmtree(results / "dense")
    shutil.rmtree(results / "lamp")
    with pytest.raises(UserError, match="found no scored candidate, expected at"):
        read_run(results, "a")


def test_a_damaged_file_is_named(tmp_path):
    results = write_run(tmp_path)
    path = results / "dense/seed_0/score_test.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="score_test.json: damaged"):
        read_run(results, "a")


def test_candidates_are_ordered_by_number_not_by_letter(tmp_path):
    for name in (
        "a/seed_10/round_1",
        "a/seed_2/round_10",
        "a/seed_2/round_9",
        "z/seed_0",
    ):
        begin(tmp_path, name)
    assert find_candidates(tmp_path / "results") == [
        "z/seed_0",
        "a/seed_2/round_9",
        "a/seed_2/round_10",
        "a/seed_10/round_1",
    ]


def test_a_chain_begins_with_the_baseline_in_the_record(tmp_path):
    results = write_run(tmp_path)
    chain = ["dense/seed_0", "lamp/seed_0/round_1", "lamp/seed_0/round_2"]
    assert chain_of(results, chain[-1]) == chain
    assert chain_of(results, chain[0]) == chain[:1]
    assert chain_of(results, "new/seed_0/round_1") == ["new/seed_0/round_1"]


def test_a_chain_does_not_begin_with_the_method_whose_masks_it_takes(tmp_path):
    dense = finish(tmp_path, "mine/seed_0", 90, 0.0)
    source = finish(tmp_path, "lamp/seed_0/round_1", 90, 0.8, inputs=[dense])
    first = "from_scratch/seed_0/round_1"
    finish(tmp_path, first, 90, 0.8, inputs=[source, dense])
    assert chain_of(tmp_path / "results", first) == ["mine/seed_0", first]


@pytest.mark.parametrize("name", ["seed_0_old_2", "seed_x_1", "seed_0/round_1_copy_2"])
def test_a_copy_of_a_candidate_is_not_one(tmp_path, name):
    results = write_run(tmp_path)
    copy = results / "lamp" / name
    copy.mkdir(parents=True)
    shutil.copy(results / "dense/seed_0/weights.h5", copy)
    assert len(read_run(results, "a").candidates) == 3


def test_runs_are_named_by_as_little_as_tells_them_apart(tmp_path):
    def names(*paths):
        return name_runs([tmp_path / path for path in paths])

    assert names("a/results", "b/results") == ["a", "b"]
    assert names("x/a/results", "y/a/results") == ["x/a", "y/a"]
    assert len(set(names("a/results", "a/results"))) == 2

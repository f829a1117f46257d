import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.configuration import read_configuration
from tools.scaling import Job, critical_path, plan_sweep, simulate

CHAIN = {"a": Job(10, ()), "b": Job(20, ("a",)), "c": Job(30, ("b",))}
FAN = {"a": Job(10, ()), **{f"b{i}": Job(20, ("a",)) for i in range(8)}}


def test_a_chain_gains_nothing_from_workers():
    for workers in (1, 5):
        assert simulate(CHAIN, workers, cost=0, dispatch=0).seconds == 60
    assert critical_path(CHAIN, cost=2) == 66


def test_independent_jobs_share_the_workers():
    assert simulate(FAN, 1, cost=0, dispatch=0).seconds == 170
    outcome = simulate(FAN, 4, cost=0, dispatch=0)
    assert outcome.seconds == 50
    assert outcome.busy == pytest.approx(170 / 200)
    assert simulate(FAN, 8, cost=1, dispatch=0).seconds == 32


def test_one_process_dispatches_jobs_one_after_another():
    # The eighth is dispatched 8 x 5 seconds after the end of the first job (at 15).
    outcome = simulate(FAN, 8, cost=0, dispatch=5)
    assert outcome.seconds == 15 + 40 + 20
    assert outcome.dispatching == pytest.approx(45 / 75)


@given(
    st.lists(st.tuples(st.floats(0.1, 100), st.sets(st.integers(0, 19))), min_size=1),
    st.integers(1, 20),
)
def test_no_schedule_beats_the_critical_path_or_the_work(rows, workers):
    jobs = {
        str(i): Job(seconds, tuple(str(j) for j in sorted(needs) if j < i))
        for i, (seconds, needs) in enumerate(rows)
    }
    seconds = simulate(jobs, workers, cost=0, dispatch=0).seconds
    work = sum(job.seconds for job in jobs.values())
    least = max(critical_path(jobs, 0), work / workers)
    assert least * (1 - 1e-9) <= seconds
    # Graham 1966: no list schedule is worse than this.
    assert seconds <= (critical_path(jobs, 0) + work / workers) * (1 + 1e-9)


def test_a_sweep_has_the_jobs_of_the_workflow(tmp_path):
    config = read_configuration("controls")
    (tmp_path / "one.tsv").write_text("s\n7.5\n", encoding="utf-8")
    places = ["prepare_dataset", "choose_submission", "package_submission"]
    places += ["pack_submission", "score_report"]
    for seed in (0, 1, 2):
        places += [
            f"dense/seed_{seed}/{r}" for r in ("train_baseline", "score_candidate")
        ]
        for method in config.run:
            folder = f"{method}/seed_{seed}/round_1"
            places += [f"{folder}/{r}" for r in ("prune_round", "score_candidate")]
    for place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{place}.tsv").write_text("s\n7.5\n", encoding="utf-8")
    jobs = plan_sweep(config, tmp_path, seeds=7)
    assert len(jobs) == 5 + 7 * 2 * (1 + len(config.run))
    needs = jobs["mask_from_scratch/seed_6/round_1/prune_round"].needs
    assert needs == ("dense/seed_6/train_baseline", "lamp/seed_6/round_1/prune_round")
    assert critical_path(jobs, 0) == 7.5 * 8  # data, dense, lamp, mask, score, ...

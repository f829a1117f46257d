"""When a run ends, reckoned by the forecast and by what was measured since."""

import time

import pytest

from snakemake_logger_plugin_shears.run import Planned, Run

LINE = (
    "12:00:00 x: epoch 1/4  loss 1.0000  validation accuracy 0.5000  "
    "sparsity 0.0000  10 images/s  5:00 left\n"
)


@pytest.fixture
def run():
    """Two trainings of a kind that need the whole machine, and a job of another."""
    planned = {
        1: Planned(100.0, 1.0, "student"),
        2: Planned(200.0, 1.0, "student"),
        3: Planned(60.0, 0.5, ""),
    }
    return Run(total=3, planned=planned)


def test_before_anything_ran_the_forecast_holds(run):
    assert run.seconds_left(time.time()) == 330
    assert Run(total=3).seconds_left(time.time()) is None


def test_in_a_queue_nobody_knows(run, tmp_path):
    run.queue = True
    assert run.seconds_left(time.time()) is None
    log = tmp_path / "a.log"
    job = run.start(1, "train_baseline", "training", str(log))
    assert not job.begun
    log.touch()
    assert job.begun


def test_what_took_twice_as_long_makes_the_rest_twice_as_long(run):
    job = run.start(1, "train_baseline", "training", "none.log")
    job.began -= 200
    run.finish(1)
    assert run.seconds_left(time.time()) == pytest.approx(400 + 60, rel=0.01)
    assert run.done == 1 and not run.running


def test_the_epochs_that_were_measured_say_when_a_training_ends(run, tmp_path):
    log = tmp_path / "a.log"
    log.write_text(LINE, encoding="utf-8")
    job = run.start(1, "train_baseline", "training", str(log))
    job.began -= 100
    now = log.stat().st_mtime + 60
    # 300 s less the 60 since then; 400 s of the 100 expected: four times as long.
    assert job.left(now) == pytest.approx(240)
    assert run.seconds_left(now) == pytest.approx(240 + 800 + 120, rel=0.01)


def test_nobody_knows_while_a_job_runs_that_was_not_planned(run):
    run.start(7, "refit_round", "refitting", "none.log")
    run.start(7, "refit_round", "refitting once more", "none.log")
    assert run.total == 4
    assert run.seconds_left(time.time()) is None
    run.finish(7)
    assert run.seconds_left(time.time()) == 330


def test_a_job_that_overruns_is_not_expected_to_end_at_once(run):
    job = run.start(3, "score_report", "report", "none.log")
    job.began -= 600
    assert run.seconds_left(time.time()) == pytest.approx(300 + 30, rel=0.01)


def test_a_job_that_runs_again_has_not_failed(run):
    run.start(1, "train_baseline", "training", "none.log")
    run.finish(1, failed=True)
    assert [job.number for job in run.failed] == [1]
    assert run.finish(1) is None  # it is said once
    run.start(1, "train_baseline", "training", "none.log")
    run.finish(1)
    assert not run.failed and run.done == 1


def test_a_cause_is_found_outside_of_the_log(run, tmp_path):
    job = run.start(1, "train_baseline", "training", str(tmp_path / "a.log"))
    assert run.cause(job) == "the job ended without saying why"
    job.said = "SLURM-job '7' failed,\n SLURM status is: 'TIMEOUT'"
    assert run.cause(job) == "SLURM-job '7' failed, SLURM status is: 'TIMEOUT'"
    job.said = ""
    run.messages.append("MissingOutputException in rule train_baseline: Job 1 has none")
    assert "Job 1 has none" in run.cause(job)
    run.messages.append("Command 'train_baseline.py' died with <Signals.SIGKILL: 9>.")
    assert "killed, most often for lack of memory" in run.cause(job)


def test_a_job_that_alone_was_told_to_end_says_so(run, tmp_path):
    job = run.start(1, "train_baseline", "training", str(tmp_path / "a.log"))
    run.messages.append("Command 'train_baseline.py' died with <Signals.SIGTERM: 15>.")
    assert run.cause(job) == "the job was stopped from outside (SIGTERM): run again"

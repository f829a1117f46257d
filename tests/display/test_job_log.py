"""How far a job is and why it failed, read from the log that training writes."""

import logging
import math
import os
import time

import pytest

from shears.runtime.errors import UserError
from shears.runtime.job_log import log_job
from shears.training.loop import progress_line
from snakemake_logger_plugin_shears.job_log import read_cause, read_progress

ROW = {
    "epoch": 3,
    "loss": 0.41,
    "validation_accuracy": 0.9112,
    "sparsity": 0.9712,
    "images_per_second": 2046.3,
    "seconds": 30.0,
}


@pytest.fixture
def log(tmp_path):
    return tmp_path / "logs/job.log"


def write(log, *lines):
    """Writes a job's log as a job does."""
    with log_job("prune_round lamp 1", log):
        for line in lines:
            logging.getLogger("shears.training.loop").info("%s", line)


def test_the_lines_that_training_writes_are_read(log):
    write(log, "resuming after epoch 2/24", progress_line(ROW, 24), "saved the weights")
    progress = read_progress(log, time.time())
    assert progress[:4] == (
        "epoch",
        3,
        24,
        ("2,046 images/s", "accuracy 0.9112", "sparsity 0.9712"),
    )
    assert progress.left == 30 / 3 * 21
    assert progress.written == log.stat().st_mtime


def test_a_refit_which_has_no_validation_images_has_progress(log):
    write(log, progress_line({**ROW, "validation_accuracy": math.nan}, 24))
    progress = read_progress(log, time.time())
    assert progress[:3] == ("epoch", 3, 24)
    assert progress.facts == ("2,046 images/s", "sparsity 0.9712")
    assert progress.left == 30 / 3 * 21


def test_a_resumed_job_and_views_have_progress(log):
    write(log, "resuming after epoch 2/24")
    assert read_progress(log, 0)[:4] == ("epoch", 2, 24, ())
    write(log, "computed the logits of view 2/16")
    begin = log.stat().st_mtime - 10
    assert read_progress(log, begin)[:4] == ("view", 2, 16, ())
    assert read_progress(log, begin).left == pytest.approx(70)


def test_the_log_of_an_earlier_run_tells_nothing(log):
    write(log, progress_line(ROW, 24))
    os.utime(log, (1000, 1000))
    assert read_progress(log, time.time()) is None
    assert read_cause(log, time.time()) is None
    assert read_progress(log.with_name("none"), 0) is None
    assert read_cause(log.with_name("none"), 0) is None


def test_the_cause_is_the_error_that_the_job_wrote(log):
    with pytest.raises(SystemExit), log_job("train_teacher", log):
        raise UserError("a.h5: found 3, expected 4\nmake it again")
    assert read_cause(log, 0) == "a.h5: found 3, expected 4\nmake it again"
    with pytest.raises(SystemExit), log_job("train_teacher", log):
        raise OSError(28, "No space left on device", "a.h5")
    text = "a.h5: No space left on device: make room and run again"
    assert read_cause(log, 0) == text


def test_the_cause_of_a_bug_is_the_last_line_of_its_traceback(log):
    with pytest.raises(ZeroDivisionError), log_job("train_teacher", log):
        print(1 / 0)
    assert read_cause(log, 0) == "ZeroDivisionError: division by zero"
    write(log, "all is well")
    assert read_cause(log, 0) is None

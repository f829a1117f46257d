import errno
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from shears.runtime.backend import tf
from shears.runtime.errors import UserError
from shears.runtime.files import write_bytes
from shears.runtime.job_log import log_job

ROOT = Path(__file__).parents[3]


def run(tmp_path, error):
    with log_job("try", tmp_path / "logs/try.log"):
        logging.getLogger("shears.x").info("working")
        raise error


def test_a_log_is_not_written_through_a_link(tmp_path, capfd):
    precious, log = tmp_path / "precious", tmp_path / "logs/try.log"
    precious.write_bytes(b"precious")
    log.parent.mkdir()
    log.symlink_to(precious)
    with pytest.raises(SystemExit, match="try.log: Too many levels of symbolic"):
        run(tmp_path, UserError("not reached"))
    assert precious.read_bytes() == b"precious"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("a.h5: found 1, expected 2"), "a.h5: found 1, expected 2"),
        (OSError(28, "No space left on device", "out.h5"), "out.h5: No space left on"),
        (MemoryError("Unable to allocate 9 TiB"), "out of memory (Unable to allocate"),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore"),
            "out of memory (OOM when allocating more): close other programs or, if a",
        ),
        (
            tf.errors.InternalError(
                None, None, "CUDA_ERROR_OUT_OF_MEMORY: out of memory"
            ),
            "out of memory (CUDA_ERROR_OUT_OF_MEMORY",
        ),
        (
            tf.errors.ResourceExhaustedError(
                None, None, "events.v2; No space left on device"
            ),
            "No space left on device: make room and run again",
        ),
    ],
)
def test_a_users_error_is_one_line_and_exit_1(tmp_path, capfd, error, message):
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, error)
    assert caught.value.code == 1
    shown = capfd.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert shown.count("\n") == 2  # "working" and the error
    log = (tmp_path / "logs/try.log").read_text(encoding="utf-8")
    assert "working" in log
    assert message in log


def test_a_full_disk_names_the_file_and_says_what_to_do(tmp_path, capfd):
    def fill():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            write_bytes(tmp_path / "big", b"x" * 200_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    with pytest.raises(SystemExit), log_job("try", tmp_path / "try.log"):
        fill()
    shown = capfd.readouterr().err
    assert f"error: {tmp_path / 'big'}: File too large" in shown
    assert "Traceback" not in shown
    with pytest.raises(SystemExit), log_job("try", tmp_path / "try.log"):
        raise OSError(errno.ENOSPC, "No space left on device", "out.h5")
    assert "No space left on device: make room and run again" in capfd.readouterr().err


def test_a_bug_of_ours_passes_through(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, ZeroDivisionError())


def test_a_log_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "logs").write_text("a file, not a folder", encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        run(tmp_path, ZeroDivisionError())
    assert f"try: error: {tmp_path}/logs" in str(caught.value)


@pytest.mark.slow
def test_a_real_lack_of_memory_is_reported(tmp_path):
    """A process limited to 4 GB asks TensorFlow and NumPy for 8."""
    script = tmp_path / "hungry.py"
    script.write_text(
        "import sys, resource\n"
        "from shears.runtime.backend import tf\n"
        "import numpy as np\n"
        "from shears.runtime.job_log import log_job\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        f"with log_job('hungry', {str(tmp_path / 'a.log')!r}):\n"
        "    tf.zeros((2 << 30,)) if sys.argv[1] == 'tf' else np.ones(1 << 30)\n",
        encoding="utf-8",
    )
    for what in ("tf", "np"):
        run = subprocess.run(
            [sys.executable, script, what],
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        assert run.returncode == 1, run.stderr
        assert "hungry: error: out of memory (" in run.stderr
        assert "Traceback" not in run.stderr

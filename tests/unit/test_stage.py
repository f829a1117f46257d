import errno
import logging
import resource

import pytest

from shears.errors import UserError
from shears.files import write_bytes
from shears.stage import stage


def run(tmp_path, error):
    with stage("try", tmp_path / "logs/try.log"):
        logging.getLogger("shears.x").info("working")
        raise error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("a.h5: found 1, expected 2"), "a.h5: found 1, expected 2"),
        (OSError(28, "No space left on device", "out.h5"), "out.h5: No space left on"),
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
    log = (tmp_path / "logs/try.log").read_text()
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

    with pytest.raises(SystemExit), stage("try", tmp_path / "try.log"):
        fill()
    shown = capfd.readouterr().err
    assert f"error: {tmp_path / 'big'}: File too large" in shown
    assert "Traceback" not in shown
    with pytest.raises(SystemExit), stage("try", tmp_path / "try.log"):
        raise OSError(errno.ENOSPC, "No space left on device", "out.h5")
    assert "No space left on device: make room and run again" in capfd.readouterr().err


def test_a_defect_of_ours_passes_through(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, ZeroDivisionError())

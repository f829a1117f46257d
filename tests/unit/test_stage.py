import logging

import pytest

from shears.errors import UserError
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


def test_a_defect_of_ours_passes_through(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(tmp_path, ZeroDivisionError())

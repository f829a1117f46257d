import resource

import pytest

from shears.errors import UserError
from shears.files import (
    read_csv,
    read_json,
    whole_file,
    write_bytes,
    write_csv,
    write_json,
)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"a": 1})
    with pytest.raises(RuntimeError), whole_file(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(target) == {"a": 1}
    assert list(tmp_path.iterdir()) == [target]


def test_a_full_disk_leaves_no_file(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match=f"File too large: '{tmp_path}/a'"):
            write_bytes(tmp_path / "a", b"x" * 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("read", "text"),
    [(read_json, '{"a": 1'), (read_csv, "a,b\n1\n"), (read_csv, "a\nx\n")],
)
def test_damaged_files_are_named(tmp_path, read, text):
    (tmp_path / "a").write_text(text)
    with pytest.raises(UserError, match=f"{tmp_path}/a: damaged"):
        read(tmp_path / "a")


def test_csv_round_trip(tmp_path):
    rows = [{"epoch": 1.0, "loss": 0.1 + 0.2}, {"epoch": 2.0, "loss": 1e-300}]
    write_csv(tmp_path / "a.csv", rows)
    assert read_csv(tmp_path / "a.csv") == rows


def test_files_are_as_readable_as_the_umask_says(tmp_path):
    (tmp_path / "plain").write_text("")
    write_bytes(tmp_path / "whole", b"")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode

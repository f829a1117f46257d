import hashlib
import os
import pwd
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.runtime.errors import UserError
from shears.runtime.files import (
    check_writable,
    checksum,
    known_checksum,
    open_regular,
    read_csv,
    read_json,
    verify,
    whole_file,
    write_bytes,
    write_csv,
    write_json,
)
from tests import ROOT
from tests.conftest import refused
from tests.file_systems import read_only, without_write_permission


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.json"
    write_json(target, {"a": 1})
    with pytest.raises(RuntimeError), whole_file(target) as file:
        file.write(b"half")
        raise RuntimeError
    assert read_json(target) == {"a": 1}
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", ".a.json.sha256"}


def test_the_leftovers_of_a_killed_writer_are_removed(tmp_path):
    code = (
        "import os, sys; from shears.runtime.files import whole_file\n"
        "with whole_file(sys.argv[1]) as file: file.write(b'x'); os._exit(1)"
    )
    command = [sys.executable, "-c", code, tmp_path / "a"]
    subprocess.run(command, cwd=ROOT, check=False)
    (left,) = tmp_path.iterdir()
    assert left.match(".a.*.part")
    write_bytes(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert not left.exists()


@pytest.fixture
def precious(tmp_path):
    """A file of somebody else's, to which links in a shared folder lead."""
    path = tmp_path / "precious"
    path.write_bytes(b"precious")
    return path


@pytest.mark.parametrize(
    "name",
    ["a", ".a.sha256", ".a.part", "..a.sha256.part", ".a.0123456789abcdef.part"],
)
def test_no_link_is_followed_when_a_file_is_written(tmp_path, precious, name):
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / name).symlink_to(precious)
    write_bytes(shared / "a", b"new")
    assert precious.read_bytes() == b"precious"
    assert (shared / "a").read_bytes() == b"new"
    assert not (shared / "a").is_symlink()
    verify(shared / "a")


def test_a_temporary_name_cannot_be_guessed(tmp_path):
    names = set()
    for _ in range(3):
        with whole_file(tmp_path / "a") as file:
            names.add(file.name)
            assert Path(file.name).match(".a.*.part")
    assert len(names) == 3


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_umask_decides_who_may_read_a_file(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_bytes(tmp_path / "a", b"new")
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("read", [read_json, read_csv, checksum])
def test_a_fifo_in_place_of_a_file_is_refused_at_once(tmp_path, read):
    os.mkfifo(tmp_path / "a")
    with refused(tmp_path / "a", "found a FIFO, expected a file"):
        read(tmp_path / "a")


@pytest.mark.parametrize("read", [verify, known_checksum])
def test_a_fifo_in_place_of_a_checksum_does_not_hang(tmp_path, read):
    write_bytes(tmp_path / "a", b"new")
    (tmp_path / ".a.sha256").unlink()
    os.mkfifo(tmp_path / ".a.sha256")
    if read is known_checksum:
        assert read(tmp_path / "a") == checksum(tmp_path / "a")
    else:
        with refused(tmp_path / ".a.sha256", "found a FIFO, expected a file"):
            read(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"rubbish  a\n", b"\xff\x00", b"a" * 65])
def test_a_damaged_checksum_file_is_no_checksum(tmp_path, content):
    write_bytes(tmp_path / "a", b"new")
    (tmp_path / ".a.sha256").write_bytes(content)
    assert known_checksum(tmp_path / "a") == checksum(tmp_path / "a")


def test_only_regular_files_are_opened(tmp_path, precious):
    with open_regular(precious) as file:
        assert file.read() == b"precious"
    with refused(tmp_path, "found a folder, expected a network"):
        open_regular(tmp_path, "a network")
    with refused(Path("/dev/zero"), "found a device or socket, expected a file"):
        open_regular("/dev/zero")
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")


def test_two_writers_of_one_file_do_not_mix(tmp_path):
    with whole_file(tmp_path / "a") as file:
        file.write(b"first")
        with pytest.raises(OSError, match="another process is writing this file"):
            write_bytes(tmp_path / "a", b"second")
    assert (tmp_path / "a").read_bytes() == b"first"


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), content=st.binary(min_size=1, max_size=200))
def test_any_flipped_bit_and_any_cut_is_detected(tmp_path, data, content):
    path = tmp_path / "a"
    write_bytes(path, content)
    verify(path)
    bit = data.draw(st.integers(0, 8 * len(content) - 1))
    spoilt = bytearray(content)
    spoilt[bit // 8] ^= 1 << bit % 8
    for bad in (bytes(spoilt), content[: bit // 8]):
        path.write_bytes(bad)
        with refused(path, "damaged (its sha256 is"):
            verify(path)


def test_checksums_are_in_the_format_of_sha256sum(tmp_path):
    write_bytes(tmp_path / "a", b"x")
    subprocess.run(
        ["sha256sum", "--check", "--strict", ".a.sha256"], cwd=tmp_path, check=True
    )


def test_a_file_from_elsewhere_has_no_checksum_and_is_read(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"a": 1}


@pytest.mark.parametrize("text", ["", "\0" * 80, "# no checksum here"])
def test_a_checksum_file_without_a_checksum_does_not_make_its_file_damaged(
    tmp_path, text
):
    write_json(tmp_path / "a.json", {"a": 1})
    (tmp_path / ".a.json.sha256").write_text(text, encoding="utf-8")
    message = "its checksum file .a.json.sha256 has no sha256 at its start"
    with refused(tmp_path / "a.json", message) as caught:
        read_json(tmp_path / "a.json")
    assert not re.search("damaged|delete", str(caught.value))


def test_a_checksum_that_differs_is_named_whole_with_the_other(tmp_path):
    write_bytes(tmp_path / "a", b"x")
    (tmp_path / "a").write_bytes(b"y")
    sums = [hashlib.sha256(content).hexdigest() for content in (b"y", b"x")]
    message = "damaged (its sha256 is {}, but .a.sha256 says {}): delete it"
    with refused(tmp_path / "a", message.format(*sums)):
        verify(tmp_path / "a")


def test_killed_between_a_file_and_its_checksum_raises_no_false_alarm(
    tmp_path, monkeypatch
):
    write_bytes(tmp_path / "a", b"old")

    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("shears.runtime.files.hashlib.sha256", fail)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "a", b"new")
    monkeypatch.undo()
    assert (tmp_path / "a").read_bytes() == b"new"
    verify(tmp_path / "a")


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
    (tmp_path / "a").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=f"{tmp_path}/a: damaged"):
        read(tmp_path / "a")


def test_csv_round_trip(tmp_path):
    rows = [{"epoch": 1.0, "loss": 0.1 + 0.2}, {"epoch": 2.0, "loss": 1e-300}]
    write_csv(tmp_path / "a.csv", rows)
    assert read_csv(tmp_path / "a.csv") == rows


def test_a_csv_file_without_rows_has_its_header(tmp_path):
    path = tmp_path / "a.csv"
    write_csv(path, [], ("epoch", "loss"))
    assert path.read_text(encoding="utf-8") == "epoch,loss\n"
    assert read_csv(path) == []


def test_files_are_as_readable_as_the_umask_says(tmp_path):
    (tmp_path / "plain").write_text("", encoding="utf-8")
    write_bytes(tmp_path / "whole", b"")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


CHECK = """
import sys
from shears.runtime.errors import plain_errors
from shears.runtime.files import check_writable
with plain_errors():
    check_writable(sys.argv[1:])
"""


def check(*places: Path) -> str:
    """What the check says in a process that has no privileges."""
    command = without_write_permission([sys.executable, "-c", CHECK, *map(str, places)])
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8"
    ).stderr


@pytest.mark.parametrize("name", ["", "a", "none", "none/none"])
def test_a_place_that_may_not_be_written_is_named_before_a_run(tmp_path, name):
    (folder := tmp_path / "folder").mkdir()
    (folder / "a").write_bytes(b"x")
    place = folder / name
    assert check(place) == ""
    with read_only(folder):
        printed = check(tmp_path, place)
    existing, kind = (place, "a file") if name == "a" else (folder, "a folder")
    user = pwd.getpwuid(os.geteuid()).pw_name
    assert printed == (
        f"error: {existing}: found {kind} of {user} that {user} may not write, "
        "expected one that a run can write: work in a copy of your own\n"
    )
    assert check(place) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")
def test_another_users_folder_is_named_with_both_users(tmp_path):
    """A child really becomes another user, without a name where there is none."""
    folder = tempfile.mkdtemp()  # pytest's own is closed to others
    os.chmod(folder, 0o755)
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(64_123)
            os.setuid(64_123)
            check_writable([f"{folder}/results"])
        except UserError as error:
            os.write(sender, str(error).encode())
        finally:
            os._exit(0)
    os.close(sender)
    os.waitpid(child, 0)
    with open(receiver, encoding="utf-8") as file:
        printed = file.read()
    os.rmdir(folder)
    message = f"{folder}: found a folder of root that user 64123 may not write"
    assert printed.startswith(message)


def test_a_link_to_nowhere_does_not_stop_a_run(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "none")
    check_writable([tmp_path / "link"])

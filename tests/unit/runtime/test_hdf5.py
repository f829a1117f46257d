import errno
import fcntl
import io
import subprocess
import sys

import h5py
import numpy as np
import pytest

from shears.runtime.errors import UserError
from shears.runtime.hdf5 import is_hdf5, open_hdf5
from tests import ROOT
from tests.file_systems import without_locks

WRITER = """
import sys, h5py
file = h5py.File(sys.argv[1], "r+")
print("open", flush=True)
sys.stdin.read()
"""
READER = """
import sys
from shears.runtime.hdf5 import open_hdf5
with open_hdf5(sys.argv[1]) as file:
    print(file["a"][2])
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(5)
    return path


def test_a_file_and_bytes_in_memory_are_read(path):
    for source in (path, str(path), io.BytesIO(path.read_bytes())):
        with open_hdf5(source) as file:
            assert file["a"][2] == 2


def test_a_file_is_read_where_there_are_no_locks(path, tmp_path):
    command = [sys.executable, "-c", READER, path]
    environment = without_locks(tmp_path)
    ran = subprocess.run(
        command,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert (ran.returncode, ran.stdout) == (0, "2\n"), ran.stderr


def test_a_file_that_another_program_has_open_for_writing_is_named(path):
    command = [sys.executable, "-c", WRITER, path]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    ) as writer:
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(BlockingIOError) as caught, open_hdf5(path):
            pass
    assert caught.value.filename == str(path)
    assert caught.value.strerror == "another program has it open for writing"
    with open_hdf5(path) as file:
        assert file["a"][2] == 2


def test_readers_do_not_exclude_each_other(path):
    with open_hdf5(path), open_hdf5(path) as file, path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        assert file["a"][2] == 2


def test_a_file_that_its_writer_did_not_close_is_not_called_damaged(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file["a"] = 1
        file.flush()
        content = path.read_bytes()  # as a kill would leave it
    path.write_bytes(content)
    with pytest.raises(BlockingIOError, match="or ended while writing it"):
        with open_hdf5(path):
            pass


@pytest.mark.parametrize(
    ("number", "kind"),
    [(errno.EIO, OSError), (errno.EACCES, PermissionError), (errno.ESTALE, OSError)],
)
def test_what_the_system_refuses_says_what_failed(path, monkeypatch, number, kind):
    def fail(*_, **__):
        raise OSError(number, f"Unable to open file (errno = {number}, buf = 0x7ffc)")

    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(kind) as caught, open_hdf5(path):
        pass
    assert caught.value.errno == number
    assert caught.value.filename == str(path)
    assert "0x" not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 10, -100])
def test_contents_that_are_not_hdf5_are_a_value_error(path, cut):
    path.write_bytes(path.read_bytes()[:cut])
    for source in (path, io.BytesIO(path.read_bytes())):
        with pytest.raises(ValueError, match="open|found"), open_hdf5(source):
            pass


def test_a_read_that_fails_is_not_blamed_on_the_contents(path):
    class Failing(io.BytesIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error") as caught:
        with open_hdf5(Failing(path.read_bytes())):
            pass
    assert caught.value.errno == 5


def test_an_hdf5_file_is_known_by_its_contents(path, tmp_path):
    (tmp_path / "text.h5").write_bytes(b"HDF5")
    assert is_hdf5(path.rename(tmp_path / "a"))
    assert not is_hdf5(tmp_path / "text.h5")
    assert not is_hdf5(tmp_path)
    with pytest.raises(FileNotFoundError):
        is_hdf5(tmp_path / "none")


def test_a_missing_file_and_a_folder_say_so(tmp_path):
    with pytest.raises(FileNotFoundError), open_hdf5(tmp_path / "none"):
        pass
    with pytest.raises(UserError, match="found a folder, expected a file"):
        with open_hdf5(tmp_path):
            pass

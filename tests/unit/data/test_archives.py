import gzip
import io
import tarfile

import pytest

from shears.data import archives
from shears.data.archives import StrangeHeader, is_archive, is_gzip, is_tar, open_tar
from tests.conftest import refused


def make_tar(**members: bytes) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return content.getvalue()


PLAIN = make_tar(a=b"first", b=bytes(100_000))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_members_come_in_order_packed_or_not(tmp_path, pack):
    path = tmp_path / "a.h5"  # whatever its name
    path.write_bytes(pack(PLAIN))
    assert is_archive(path)
    assert is_gzip(path) != is_tar(path)
    with open_tar(path) as archive:
        sizes = {member.name: member.size for member in archive}
    assert sizes == {"a": 5, "b": 100_000}


@pytest.mark.parametrize("content", [b"", b"text" * 999, bytes(512)])
def test_what_is_no_archive_is_not_called_one(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert not is_archive(tmp_path / "a")


def test_no_more_is_unpacked_than_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(PLAIN + bytes(100_000)))
    monkeypatch.setattr(archives, "UNPACKED", 150_000)
    with refused(path, "unpacks to more than 150,000 bytes"), open_tar(path) as archive:
        assert len(archive.getmembers()) == 2


def test_a_long_name_is_read_and_a_long_header_is_not(tmp_path):
    path = tmp_path / "a"
    for length in (1000, 70_000):
        path.write_bytes(make_tar(**{"a" * length: b"x"}))
        if length == 1000:
            with open_tar(path) as archive:
                assert [len(member.name) for member in archive] == [1000]
        else:
            with pytest.raises(StrangeHeader, match="an extended header of 70,"):
                open_tar(path).__enter__()

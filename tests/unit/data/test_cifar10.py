import gzip
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.data.cifar10 import TEST_MEMBER, read_archive
from shears.runtime.errors import UserError
from tests.conftest import refused


def test_reads_images_in_row_column_channel_order(good_archive):
    training, test = read_archive(good_archive)
    assert training.images.shape == (50_000, 32, 32, 3)
    assert test.images.shape == (10_000, 32, 32, 3)
    assert training.images.dtype == test.labels.dtype == np.uint8
    np.testing.assert_array_equal(test.labels, np.arange(10_000) % 10)
    for image, value in (
        (training.images[0], 1),
        (training.images[-1], 5),
        (test.images[3], 6),
    ):
        expected = np.full((32, 32, 3), value)
        expected[0, 0, 0] = 200
        expected[1, 1, 1] = 100
        np.testing.assert_array_equal(image, expected)


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def header(name: str, kind: bytes = tarfile.REGTYPE, **fields) -> bytes:
    return member(name, kind, **fields).tobuf(tarfile.GNU_FORMAT)


def gzipped(content: bytes, path: Path) -> Path:
    path.write_bytes(gzip.compress(content, 1))
    return path


def stored(source: Path, target: Path) -> Path:
    """The same archive, stored uncompressed: a flipped bit hits a pixel."""
    return write(target, gzip.compress(gzip.decompress(source.read_bytes()), 0))


def flipped(source: Path, target: Path, place: int) -> Path:
    content = bytearray(source.read_bytes())
    content[place] ^= 16
    target.write_bytes(content)
    return target


def with_label(members, row: int, label: int) -> bytes:
    data = bytearray(members[TEST_MEMBER])
    data[row * 3073] = label
    return bytes(data)


def bomb(path: Path) -> Path:
    """A member of 2 GB of zeros: 2 MB on the disk."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(header("zeros", size=2 << 30))
        for _ in range(2048):
            file.write(bytes(1 << 20))
    return path


# Each makes a bad archive from (make_archive, members, the good archive, a folder).
BAD = {
    "truncated": (
        lambda w, m, g, d: write(d / "a", g.read_bytes()[:-1000]),
        "not a whole tar.gz",
    ),
    "cut before the checksum": (
        lambda w, m, g, d: write(d / "a", g.read_bytes()[:-6]),
        "not a whole tar.gz",
    ),
    "empty": (lambda w, m, g, d: write(d / "a", b""), "not a whole tar.gz"),
    "an error page": (
        lambda w, m, g, d: write(d / "a", b"<html>404</html>"),
        "not a whole tar.gz (Not a gzipped file",
    ),
    "gzip of nothing": (lambda w, m, g, d: gzipped(b"", d / "a"), "not a whole tar.gz"),
    "gzip of zeros": (
        lambda w, m, g, d: gzipped(bytes(99_999), d / "a"),
        "data_batch_1.bin is missing",
    ),
    "gzip of text": (
        lambda w, m, g, d: gzipped(b"text" * 999, d / "a"),
        "not a whole tar.gz",
    ),
    "not compressed": (
        lambda w, m, g, d: write(d / "a", gzip.decompress(g.read_bytes())),
        "not a whole tar.gz (Not a gzipped file",
    ),
    "a folder": (lambda w, m, g, d: d, "not a whole tar.gz"),
    "no file": (lambda w, m, g, d: d / "none", "No such file"),
    "a flipped bit in the images": (
        lambda w, m, g, d: flipped(stored(g, d / "b"), d / "a", 90_000_000),
        "not a whole tar.gz (CRC check failed",
    ),
    "a flipped bit in the checksum": (
        lambda w, m, g, d: flipped(g, d / "a", g.stat().st_size - 6),
        "not a whole tar.gz (CRC check failed",
    ),
    "garbage after the end": (
        lambda w, m, g, d: write(d / "a", g.read_bytes() + b"garbage"),
        "not a whole tar.gz",
    ),
    "the wrong archive": (
        lambda w, m, g, d: w([("cifar-100-binary/train.bin", b"x")]),
        "data_batch_1.bin is missing",
    ),
    "a member missing": (
        lambda w, m, g, d: w([(TEST_MEMBER, m[TEST_MEMBER])]),
        "data_batch_1.bin is missing",
    ),
    "a member too short": (
        lambda w, m, g, d: w([(TEST_MEMBER, m[TEST_MEMBER][:-1])]),
        "found 30,729,999 bytes, expected 30,730,000",
    ),
    "a label above nine": (
        lambda w, m, g, d: w([(TEST_MEMBER, with_label(m, 17, 10))]),
        "row 17 has label 10, expected 0 to 9",
    ),
    "a member twice": (
        lambda w, m, g, d: w([(TEST_MEMBER, m[TEST_MEMBER])] * 2),
        "it is there twice",
    ),
    "a symbolic link": (
        lambda w, m, g, d: w(
            [("", member(TEST_MEMBER, tarfile.SYMTYPE, linkname="/"))]
        ),
        "it is not a regular file",
    ),
    "a hard link": (
        lambda w, m, g, d: w(
            [("", member(TEST_MEMBER, tarfile.LNKTYPE, linkname="b"))]
        ),
        "it is not a regular file",
    ),
    "a folder for a member": (
        lambda w, m, g, d: w([("", member(TEST_MEMBER, tarfile.DIRTYPE))]),
        "it is not a regular file",
    ),
    "a bomb": (lambda w, m, g, d: bomb(d / "a"), "unpacks to more than 268,435,456"),
    "a bomb after the end": (
        lambda w, m, g, d: gzipped(bytes(300 << 20), d / "a"),
        "unpacks to more than 268,435,456",
    ),
    "a header of an absurd size": (
        lambda w, m, g, d: gzipped(
            header("x", tarfile.XHDTYPE, size=8 << 30) + bytes(300 << 20),
            d / "a",
        ),
        "unpacks to more than 268,435,456",
    ),
}


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_bad_archives_are_refused_in_a_line(
    kind, make_archive, members, good_archive, tmp_path
):
    make, message = BAD[kind]
    path = make(make_archive, members, good_archive, tmp_path)
    before = set(tmp_path.rglob("*"))
    with refused(path, message):
        read_archive(path)
    assert set(tmp_path.rglob("*")) == before


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=st.dictionaries(st.integers(0, 1535), st.integers(0, 255), max_size=9))
def test_no_header_makes_reading_crash(changes, tmp_path):
    header = member("x", tarfile.XHDTYPE, size=30).tobuf() + b"30 path=".ljust(
        512, b"a"
    )
    content = bytearray(header + member("a", size=3).tobuf() + bytes(2048))
    for place, value in changes.items():
        content[place] = value
    with pytest.raises(UserError):
        read_archive(gzipped(bytes(content), tmp_path / "a"))

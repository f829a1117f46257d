import errno
import gzip
import os
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scripts.download_cifar10 import download_cifar10
from scripts.prepare_dataset import prepare_dataset
from shears.data import cifar10
from shears.data.cifar10 import (
    BATCHES,
    BINARY,
    FOLDER,
    KERAS_FOLDER,
    PYTHON,
    PYTHON_FOLDER,
    TEST_MEMBER,
    TRAINING_MEMBERS,
    read_archive,
    read_images,
    write_archive,
)
from shears.runtime.errors import UserError
from tests.conftest import refused
from tests.unit.data.pickled import python_2_batch


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


def extended(header: bytes) -> bytes:
    """Says in a sparse member's header that its map continues in the next block."""
    header = header[:148] + b" " * 8 + header[156:482] + b"\1" + header[483:]
    return header[:148] + b"%06o\0 " % sum(header) + header[156:]


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


PYTHON_BATCHES = [f"{PYTHON_FOLDER}/{batch}" for batch in BATCHES]
PYTHON_BATCH = python_2_batch(
    np.zeros((10_000, 3072), np.uint8), np.zeros(10_000, np.uint8)
)
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
    "unpacked and cut off": (
        lambda w, m, g, d: write(d / "a", gzip.decompress(g.read_bytes())[:-99_999]),
        "not a whole tar (unexpected end of data",
    ),
    "one of the batches": (
        lambda w, m, g, d: write(d / "data_batch_1.bin", m[TRAINING_MEMBERS[0]]),
        "found one batch, expected the folder with all six",
    ),
    "an empty folder": (lambda w, m, g, d: d, "found no batches of CIFAR-10, expected"),
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
    "the Python version and a member of the binary one": (
        lambda w, m, g, d: w(
            [
                (PYTHON_BATCHES[0], PYTHON_BATCH),
                (TEST_MEMBER, m[TEST_MEMBER]),
            ]
        ),
        "found cifar-10-batches-py and cifar-10-batches-bin, expected one of them",
    ),
    "a Python member missing": (
        lambda w, m, g, d: w([(PYTHON_BATCHES[5], PYTHON_BATCH)]),
        ": data_batch_1 is missing",
    ),
    "a Python member too large": (
        lambda w, m, g, d: gzipped(
            header(PYTHON_BATCHES[0], size=(64 << 20) + 1), d / "a"
        ),
        "found 67,108,865 bytes, expected at most 67,108,864",
    ),
    "a Python member of text": (
        lambda w, m, g, d: w([(PYTHON_BATCHES[0], b"<html>")]),
        "member cifar-10-batches-py/data_batch_1: at position 0, opcode",
    ),
    "a symbolic link for a Python member": (
        lambda w, m, g, d: w(
            [("", member(PYTHON_BATCHES[0], tarfile.SYMTYPE, linkname="/etc/passwd"))]
        ),
        "it is not a regular file",
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
    **{
        f"600 {kind} headers of one member": (
            lambda w, m, g, d, type=type: gzipped(
                (header("p", type, size=6) + b"6 a=b\n".ljust(512, b"\0")) * 600
                + header("a")
                + bytes(1024),
                d / "a",
            ),
            "found more than 100 extended headers",
        )
        for kind, type in {
            "pax": tarfile.XHDTYPE,
            "global pax": tarfile.XGLTYPE,
            "Solaris": tarfile.SOLARIS_XHDTYPE,
            "GNU long name": tarfile.GNUTYPE_LONGNAME,
            "GNU long link": tarfile.GNUTYPE_LONGLINK,
        }.items()
    },
    "a member of 1e20 bytes": (
        lambda w, m, g, d: gzipped(
            header("x", tarfile.XHDTYPE, size=30)
            + b"30 size=100000000000000000000\n".ljust(512, b"\0")
            + header("a")
            + bytes(1024),
            d / "a",
        ),
        "not a whole tar.gz (a member is longer than the archive)",
    ),
    "a sparse member without its map": (
        lambda w, m, g, d: gzipped(
            extended(header("a", tarfile.GNUTYPE_SPARSE)), d / "a"
        ),
        "found a sparse member, expected CIFAR-10's",
    ),
    **{
        f"a sparse member in a pax header ({key})": (
            lambda w, m, g, d, line=line: gzipped(
                header("x", tarfile.XHDTYPE, size=len(line))
                + line.ljust(512, b"\0")
                + header("a", size=100 << 20)
                + b"1" * (100 << 20),
                d / "a",
            ),
            "found a sparse member, expected CIFAR-10's",
        )
        for key, line in {
            "0.0": b"21 GNU.sparse.size=1\n",
            "0.1": b"21 GNU.sparse.map=11\n",
            "1.0": b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n",
        }.items()
    },
    "a pax header of digits, which takes hours to read": (
        lambda w, m, g, d: gzipped(
            header("x", tarfile.XHDTYPE, size=10_000_000) + b"1" * 10_000_384,
            d / "a",
        ),
        "found an extended header of 10,000,000 bytes, expected CIFAR-10's",
    ),
    "a name that a terminal would obey": (
        lambda w, m, g, d: w([("\x1b[2J\x1b[Hscore 1.00000\n\x1b[8m", b"x")]),
        "data_batch_1.bin is missing",
    ),
    "a header of an absurd size": (
        lambda w, m, g, d: gzipped(
            header("x", tarfile.XHDTYPE, size=8 << 30) + bytes(300 << 20),
            d / "a",
        ),
        "found an extended header of 8,589,934,592 bytes",
    ),
}


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
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
    for path in (
        gzipped(bytes(content), tmp_path / "a"),
        write(tmp_path / "a.tar", bytes(content)),
    ):
        with pytest.raises(UserError):
            read_archive(path)


ROWS = 20
SPLITS = np.random.default_rng(0).integers(0, 256, (6, ROWS, 3073), np.uint8)
SPLITS[:, :, 0] = np.arange(ROWS) % 10  # labels


def pack(folder: Path, path: Path, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        archive.add(folder, folder.name)
    return path


@pytest.fixture
def small(monkeypatch, tmp_path) -> Path:
    """A folder with both versions of small batches, unpacked."""
    monkeypatch.setattr(cifar10, "ROWS", ROWS)
    for name, rows in zip(BATCHES, SPLITS, strict=True):
        write(tmp_path / "bin" / FOLDER / f"{name}.bin", rows.tobytes())
        content = python_2_batch(rows[:, 1:], rows[:, 0])
        write(tmp_path / "py" / PYTHON_FOLDER / name, content)
    for folder in ("bin" / Path(FOLDER), "py" / Path(PYTHON_FOLDER)):
        write(tmp_path / folder / "readme.html", b"not a batch")
        write(tmp_path / folder / "batches.meta", pickle.dumps(Path("not a batch")))
    return tmp_path


def again(source: Path, target: Path, protocol: int) -> Path:
    """The Python version as Python 3 writes it."""
    for name in BATCHES:
        batch = pickle.loads((source / name).read_bytes(), encoding="bytes")
        write(target / name, pickle.dumps(batch, protocol))
    return target


def keras_3(small: Path) -> Path:
    (small / "py").rename(small / KERAS_FOLDER)
    write(small / f"{KERAS_FOLDER}_archive", b"")
    return small / KERAS_FOLDER


def keras_cache(small: Path) -> Path:
    keras_3(small)
    shutil.rmtree(small / "bin")
    return small


def linked_folder(small: Path) -> Path:
    (small / "data").mkdir()
    (small / "data" / PYTHON_FOLDER).symlink_to(small / "py" / PYTHON_FOLDER)
    return small / "data"


FORMS = {
    "the binary archive": (lambda d: pack(d / "bin" / FOLDER, d / "a.tar.gz"), BINARY),
    "the binary archive, unpacked by a browser": (
        lambda d: pack(d / "bin" / FOLDER, d / "a.tar", "w"),
        BINARY,
    ),
    "the Python archive, unpacked by a browser": (
        lambda d: pack(d / "py" / PYTHON_FOLDER, d / "a", "w"),
        PYTHON,
    ),
    "its folder": (lambda d: d / "bin", BINARY),
    "its batches": (lambda d: d / "bin" / FOLDER, BINARY),
    "the Python archive": (lambda d: pack(d / "py" / PYTHON_FOLDER, d / "a"), PYTHON),
    "a folder as torchvision's": (lambda d: d / "py", PYTHON),
    "its batches, unpacked": (lambda d: d / "py" / PYTHON_FOLDER, PYTHON),
    "Keras 3's folder": (keras_3, PYTHON),
    "Keras 3's cache": (keras_cache, PYTHON),
    "a folder that is a link": (linked_folder, PYTHON),
    **{
        f"protocol {number}": (
            lambda d, n=number: again(d / "py" / PYTHON_FOLDER, d / "again", n),
            PYTHON,
        )
        for number in (2, 3, 4, 5)
    },
}


@pytest.mark.parametrize("kind", FORMS)
def test_every_form_gives_the_same_bytes(kind, small, monkeypatch):
    place, form = FORMS[kind]
    path = place(small)
    images = read_images(path)
    assert images.form is form
    rows = SPLITS.reshape(-1, 3073)
    pixels = rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(images.training.images, pixels[: 5 * ROWS])
    np.testing.assert_array_equal(images.training.labels, rows[: 5 * ROWS, 0])
    np.testing.assert_array_equal(images.test.images, pixels[5 * ROWS :])
    # Through the workflow's two scripts: from the form, and from the binary folder.
    settings = {"name": "cifar10", "validation_images": 20, "training_images": 60}
    made = []
    for source in (path, write_rows(small / "plain")):
        monkeypatch.setenv("CIFAR10_ARCHIVE", str(source))
        archive, dataset = small / "made.tar.gz", small / "dataset.h5"
        download_cifar10(archive=str(archive), urls=[], sha256="0" * 64)
        prepare_dataset(archive=archive, dataset=dataset, seed=1, **settings)
        made.append(dataset.read_bytes())
    assert made[0] == made[1]


def write_rows(folder: Path) -> Path:
    for name, rows in zip(BATCHES, SPLITS, strict=True):
        write(folder / f"{name}.bin", rows.tobytes())
    return folder


def test_a_written_archive_depends_on_the_images_alone(small):
    for i, folder in enumerate(("bin", "py")):
        with (small / f"{i}.tar.gz").open("wb") as file:
            write_archive(file, read_images(small / folder))
    first, second = ((small / f"{i}.tar.gz").read_bytes() for i in range(2))
    assert first == second
    assert first[3:8] == bytes(5)  # gzip's header: no file name, no time
    images = read_images(small / "0.tar.gz")
    assert images.form is BINARY
    np.testing.assert_array_equal(images.test.images, read_archive(small / "py")[1][0])


def replaced(name: str, content: bytes, folder: str = f"py/{PYTHON_FOLDER}"):
    """Returns a function that replaces a batch."""
    return lambda d: write(d / folder / name, content).parent


def emptied(d: Path) -> Path:
    shutil.rmtree(d / "py" / PYTHON_FOLDER)
    (d / "py" / PYTHON_FOLDER).mkdir()
    return d / "py"


def without(name: str):
    return lambda d: (d / "py" / PYTHON_FOLDER / name).unlink() or d / "py"


def instead(make):
    """Returns a function that puts something else in place of a batch."""

    def change(d: Path) -> Path:
        path = d / "py" / PYTHON_FOLDER / "data_batch_2"
        path.rename(d / "moved")
        make(path)
        return d / "py"

    return change


def both(d: Path) -> Path:
    (d / "bin" / FOLDER).rename(d / "py" / FOLDER)
    return d / "py"


def nested(d: Path) -> Path:
    shutil.copytree(d / "bin" / FOLDER, d / "py" / PYTHON_FOLDER / FOLDER)
    return d / "py" / PYTHON_FOLDER


def copied(d: Path) -> Path:
    folder = d / "py" / PYTHON_FOLDER
    shutil.copyfile(folder / "data_batch_1", folder / "test_batch")
    return folder


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def one_level_above(d: Path) -> Path:
    write(d / "top/notes.txt", b"")
    shutil.copytree(d / "py", d / "top/unpacked")
    return d / "top"


def of_archives(d: Path) -> Path:
    write(d / "top/cifar-10-notes.txt", b"")
    pack(d / "py" / PYTHON_FOLDER, d / "top/cifar-10-python.tar.gz")
    return d / "top"


BAD_FOLDERS = {
    "a folder above": (
        one_level_above,
        "top",
        f"; unpacked/{PYTHON_FOLDER} is in it: give that",
    ),
    "a folder of archives": (
        of_archives,
        "top",
        "; cifar-10-python.tar.gz in it is an archive: give that",
    ),
    "empty": (emptied, "py", "found no batches of CIFAR-10"),
    "a batch missing": (without("data_batch_3"), "py", "data_batch_3 is missing"),
    "the test batch missing": (without("test_batch"), "py", "test_batch is missing"),
    "both versions": (
        both,
        "py",
        "(cifar-10-batches-bin; cifar-10-batches-py), expected one",
    ),
    "both versions, one in the other": (
        nested,
        f"py/{PYTHON_FOLDER}",
        "(cifar-10-batches-bin; data_batch_1 and so on), expected one",
    ),
    "a batch there twice": (
        copied,
        f"py/{PYTHON_FOLDER}/test_batch",
        "found the images of data_batch_1, expected other images",
    ),
    "a file that is no pickle": (
        replaced("data_batch_1", b"<html>"),
        f"py/{PYTHON_FOLDER}/data_batch_1",
        "at position 0, opcode b'<' unknown",
    ),
    "an empty file": (
        replaced("data_batch_1", b""),
        f"py/{PYTHON_FOLDER}/data_batch_1",
        "pickle exhausted before seeing STOP",
    ),
    "a gadget": (
        replaced("data_batch_1", b"cos\nsystem\nS'exit'\n\x85R."),
        f"py/{PYTHON_FOLDER}/data_batch_1",
        "it asks for os.system, expected only NumPy's arrays",
    ),
    "a binary batch cut off": (
        replaced("test_batch.bin", SPLITS[5].tobytes()[:-1], f"bin/{FOLDER}"),
        f"bin/{FOLDER}/test_batch.bin",
        "found 61,459 bytes, expected 61,460",
    ),
    "a binary label above nine": (
        replaced("test_batch.bin", b"\xff" * ROWS * 3073, f"bin/{FOLDER}"),
        f"bin/{FOLDER}/test_batch.bin",
        "row 0 has label 255, expected 0 to 9",
    ),
    "a link": (
        instead(lambda path: path.symlink_to("data_batch_1")),
        f"py/{PYTHON_FOLDER}/data_batch_2",
        "it is not a regular file",
    ),
    "a link to nowhere": (
        instead(lambda path: path.symlink_to("/nowhere")),
        f"py/{PYTHON_FOLDER}/data_batch_2",
        "it is not a regular file",
    ),
    "a pipe": (
        instead(os.mkfifo),
        f"py/{PYTHON_FOLDER}/data_batch_2",
        "it is not a regular file",
    ),
    "a folder for a batch": (
        instead(Path.mkdir),
        f"py/{PYTHON_FOLDER}/data_batch_2",
        "it is not a regular file",
    ),
    "a terabyte": (
        instead(sparse),
        f"py/{PYTHON_FOLDER}/data_batch_2",
        "found 1,099,511,627,776 bytes, expected at most 67,108,864",
    ),
}


@pytest.mark.parametrize("kind", BAD_FOLDERS)
def test_bad_folders_are_refused_in_a_line(kind, small):
    spoil, name, message = BAD_FOLDERS[kind]
    path = spoil(small)
    before = set(small.rglob("*"))
    with refused(small / name, message):
        read_archive(path)
    assert set(small.rglob("*")) == before


@pytest.mark.parametrize("name", ["os.open", "os.listdir"])
def test_what_may_not_be_read_is_refused_in_a_line(name, small, monkeypatch):
    def forbidden(*_):  # the tests may run as root, who may read everything
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(name, forbidden)
    with refused(small / "py", ": Permission denied"):
        read_archive(small / "py")


def test_a_failing_disk_is_not_called_a_bad_archive(small, monkeypatch):
    path = pack(small / "bin" / FOLDER, small / "a.tar.gz")

    def fail(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("gzip.GzipFile.read", fail)
    with refused(path, ": Input/output error"):
        read_archive(path)

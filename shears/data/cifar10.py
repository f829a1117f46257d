"""Reads CIFAR-10 in any of its forms: binary or Python, an archive or a folder."""

import contextlib
import errno
import gzip
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from shears.data.archives import StrangeHeader, is_archive, is_tar, open_tar
from shears.data.batch_pickle import LARGEST, NOT_IT, decode_batch
from shears.data.dataset import Split
from shears.runtime.errors import UserError, brief

FOLDER = "cifar-10-batches-bin"
PYTHON_FOLDER = "cifar-10-batches-py"
KERAS_FOLDER = "cifar-10-batches-py-target"  # Keras 3 puts PYTHON_FOLDER into it
BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
TRAINING_MEMBERS = tuple(f"{FOLDER}/{batch}.bin" for batch in BATCHES[:-1])
TEST_MEMBER = f"{FOLDER}/{BATCHES[-1]}.bin"
ROWS = 10_000  #: of each batch
ROW_BYTES = 1 + 3 * 32 * 32  # a label, then pixels: channel, row, column
NOT_BINARY = "this is not CIFAR-10's binary version"


def _make_split(pixels: np.ndarray, labels: np.ndarray) -> Split:
    """Makes a split of pixels, (ROWS, 3 * 32 * 32) uint8, and labels, (ROWS,) uint8."""
    images = pixels.reshape(ROWS, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), labels.copy())


def _decode_binary(raw: bytes, where: str) -> Split:
    """Decodes a batch's rows, (ROWS, ROW_BYTES) uint8."""
    rows = np.frombuffer(raw, np.uint8).reshape(ROWS, ROW_BYTES)
    labels = rows[:, 0]
    if labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise UserError(
            f"{where}: row {row} has label {labels[row]}, expected 0 to 9: {NOT_BINARY}"
        )
    return _make_split(rows[:, 1:], labels)


def _decode_python(raw: bytes, where: str) -> Split:
    """Decodes a batch that is a pickle."""
    return _make_split(*decode_batch(raw, where, rows=ROWS))


class Form(NamedTuple):
    """One of the two versions that CIFAR-10 is published in.

    Attributes:
        folder: The folder its batch files are in.
        suffix: What their names end in.
        row_bytes: Bytes of a row, if a batch file is nothing but `ROWS` of them; 0 for
            the Python version, whose batch files have at most `LARGEST` bytes.
        not_it: What to say of a file that is not one.
        decode: Makes a split of a batch file's content and name.
    """

    folder: str
    suffix: str
    row_bytes: int
    not_it: str
    decode: Callable[[bytes, str], Split]

    def check(self, where: str, *, regular: bool, size: int) -> None:
        """Checks a batch file before it is read."""
        if not regular:
            raise UserError(f"{where}: it is not a regular file: {self.not_it}")
        exact = ROWS * self.row_bytes
        if size > LARGEST or exact not in (0, size):
            expected = f"{exact:,}" if exact else f"at most {LARGEST:,}"
            raise UserError(
                f"{where}: found {size:,} bytes, expected {expected}: {self.not_it}"
            )


BINARY = Form(FOLDER, ".bin", ROW_BYTES, NOT_BINARY, _decode_binary)
PYTHON = Form(PYTHON_FOLDER, "", 0, NOT_IT, _decode_python)
FORMS = (BINARY, PYTHON)
_MEMBERS = {
    f"{form.folder}/{batch}{form.suffix}": (form, batch)
    for form in FORMS
    for batch in BATCHES
}


class Images(NamedTuple):
    """All of CIFAR-10.

    Attributes:
        form: The form it was read from.
        training: The 50,000 training images.
        test: The 10,000 test images.
    """

    form: Form
    training: Split
    test: Split


class _Batch(NamedTuple):
    """A decoded batch file; `where` names it in errors."""

    form: Form
    name: str
    where: str
    split: Split


def _read_members(path: Path) -> Iterator[_Batch]:
    """Yields the batches of an archive as they come. Nothing is written to disk."""
    kind = "tar.gz"
    try:
        kind = "tar" if is_tar(path) else kind
        with open_tar(path) as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name not in _MEMBERS:
                    continue
                form, batch = _MEMBERS[name]
                where = f"{path}, member {name}"
                form.check(where, regular=member.isreg(), size=member.size)
                if unpacked := archive.extractfile(member):
                    split = form.decode(unpacked.read(), where)
                    yield _Batch(form, batch, where, split)
    except (UserError, MemoryError):
        raise
    except StrangeHeader as error:
        raise UserError(
            f"{path}: found {error}, expected CIFAR-10's binary or Python archive, or "
            "a folder that one is unpacked in"
        ) from None
    except Exception as error:  # tarfile raises nearly anything at a bad header
        if isinstance(error, OSError) and error.errno is not None:
            raise UserError(f"{path}: {error.strerror}") from None
        if path.name.removesuffix(BINARY.suffix) in BATCHES:
            raise UserError(
                f"{path}: found one batch, expected the folder with all six"
            ) from None
        raise UserError(
            f"{path}: not a whole {kind} ({brief(error)}); expected CIFAR-10's binary "
            "or Python archive, or a folder that one is unpacked in"
        ) from error


def _find_nearby(folder: Path) -> str:
    """Says what a folder without batches has instead: an archive, or a folder of it."""
    with contextlib.suppress(OSError):
        for path in sorted(folder.glob("cifar-10*")):
            if path.is_file() and is_archive(path):
                return f"; {brief(path.name)} in it is an archive: give that"
        for form in FORMS:
            for path in sorted(folder.glob(f"*/{form.folder}")):
                return f"; {brief(path.relative_to(folder))} is in it: give that"
    return ""


def _find_batches(folder: Path) -> tuple[Form, Path]:
    """Finds the folder of batches: the given one, or one with a known name in it.

    Raises:
        UserError: There is none, or more than one.
    """
    places = [
        (form, place)
        for form, place in (
            (BINARY, folder),
            (BINARY, folder / FOLDER),
            (PYTHON, folder),
            (PYTHON, folder / PYTHON_FOLDER),
            (PYTHON, folder / KERAS_FOLDER / PYTHON_FOLDER),
        )
        if place.is_dir()
        and {f"{batch}{form.suffix}" for batch in BATCHES} & set(os.listdir(place))
    ]
    if len(places) == 1:
        return places[0]
    if not places:
        raise UserError(
            f"{folder}: found no batches of CIFAR-10, expected {BATCHES[0]} or "
            f"{BATCHES[0]}.bin and so on, or a folder {PYTHON_FOLDER} or {FOLDER}"
            f"{_find_nearby(folder)}"
        )
    first, second = (
        f"{BATCHES[0]}{form.suffix} and so on"
        if place == folder
        else f"{place.relative_to(folder)}"
        for form, place in places[:2]
    )
    raise UserError(
        f"{folder}: found more than one copy of CIFAR-10 ({first}; {second}), "
        "expected one: give the folder of batches itself"
    )


def _read_file(path: Path, form: Form) -> bytes | None:
    """Reads a batch file of a folder; None if there is none."""
    # A link may lead anywhere, and opening a pipe would wait for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
            about = os.fstat(file.fileno())
            regular = stat.S_ISREG(about.st_mode)
            form.check(str(path), regular=regular, size=about.st_size)
            raw = file.read(about.st_size)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR):
            form.check(str(path), regular=False, size=0)
        raise UserError(f"{path}: {error.strerror}") from None
    form.check(str(path), regular=True, size=len(raw))  # it may have been cut since
    return raw


def _read_files(folder: Path) -> Iterator[_Batch]:
    """Yields the batches of a folder."""
    try:
        form, place = _find_batches(folder)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}") from None
    for batch in BATCHES:
        path = place / f"{batch}{form.suffix}"
        raw = _read_file(path, form)
        if raw is not None:
            yield _Batch(form, batch, str(path), form.decode(raw, str(path)))


def _collect(path: Path, batches: Iterator[_Batch]) -> Images:
    """Puts the batches together.

    Raises:
        UserError: One is missing, there twice, the same as another or of another form.
    """
    known: dict[str, _Batch] = {}
    for batch in batches:
        if batch.name in known and batch.form is known[batch.name].form:
            raise UserError(f"{batch.where}: it is there twice: {batch.form.not_it}")
        for other in known.values():
            if other.form is not batch.form:
                raise UserError(
                    f"{path}: found {other.form.folder} and {batch.form.folder}, "
                    "expected one of them"
                )
            if np.array_equal(other.split.images, batch.split.images):
                raise UserError(
                    f"{batch.where}: found the images of {other.name}, expected other "
                    f"images: {batch.form.not_it}"
                )
        known[batch.name] = batch
    missing = next((name for name in BATCHES if name not in known), None)
    if missing and known:
        form = next(iter(known.values())).form
        raise UserError(f"{path}: {missing}{form.suffix} is missing: {form.not_it}")
    if missing:
        raise UserError(
            f"{path}: member {TRAINING_MEMBERS[0]} is missing, and so is "
            f"{PYTHON_FOLDER}/{BATCHES[0]}: this is not CIFAR-10"
        )
    parts = [known[name].split for name in BATCHES]
    training = Split(
        *(np.concatenate(arrays) for arrays in zip(*parts[:-1], strict=True))
    )
    return Images(known[BATCHES[0]].form, training, parts[-1])


def read_images(path: str | Path) -> Images:
    """Reads CIFAR-10 (Krizhevsky 2009) in any of its forms, without unpacking it.

    The form is recognised by the names in it. Pickles are not run (`decode_batch`). At
    most `UNPACKED` bytes of an archive are decompressed. It is read to its end, where
    gzip's checksum (CRC-32) is verified; a tar without gzip has none.

    Args:
        path: cifar-10-binary.tar.gz or cifar-10-python.tar.gz, under any name, with or
            without gzip; a folder that one is unpacked in, as by Keras or torchvision;
            or the folder of batches itself.

    Returns:
        The images in the order of the batches, which is the same in every form.

    Raises:
        UserError: The archive is truncated, not a tar.gz or tar, or far too large; the
            folder holds no batches, or more than one copy; one of the six batches is
            missing, there twice, the same as another, not a regular file, of the wrong
            size or not a batch; a label is not 0 to 9; a file cannot be read.
    """
    path = Path(path)
    batches = _read_files(path) if path.is_dir() else _read_members(path)
    return _collect(path, batches)


def read_archive(path: str | Path) -> tuple[Split, Split]:
    """Reads CIFAR-10 like `read_images`.

    Args:
        path: An archive or a folder.

    Returns:
        The 50,000 training and the 10,000 test images.

    Raises:
        UserError: `read_images` refuses it.
    """
    images = read_images(path)
    return images.training, images.test


def write_archive(file: BinaryIO, images: Images) -> None:
    """Writes a binary archive. The same images always give the same bytes.

    Args:
        file: The tar.gz to write. Pixels hardly compress, so they are only stored.
        images: What to write, from any form.
    """
    parts = [
        Split(
            images.training.images[start : start + ROWS],
            images.training.labels[start : start + ROWS],
        )
        for start in range(0, len(images.training.labels), ROWS)
    ]
    names = (*TRAINING_MEMBERS, TEST_MEMBER)
    with (
        gzip.GzipFile("", "wb", compresslevel=0, fileobj=file, mtime=0) as content,
        tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, split in zip(names, (*parts, images.test), strict=True):
            rows = np.empty((ROWS, ROW_BYTES), np.uint8)
            rows[:, 0] = split.labels
            rows[:, 1:] = split.images.transpose(0, 3, 1, 2).reshape(ROWS, -1)
            member = tarfile.TarInfo(name)
            member.size = rows.nbytes
            archive.addfile(member, io.BytesIO(rows.data))

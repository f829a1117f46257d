"""Reads the CIFAR-10 archive, the binary version."""

import gzip
import tarfile
import zlib
from pathlib import Path

import numpy as np

from shears.data.dataset import Split
from shears.runtime.errors import UserError, brief

FOLDER = "cifar-10-batches-bin"
TRAINING_MEMBERS = tuple(f"{FOLDER}/data_batch_{i}.bin" for i in range(1, 6))
TEST_MEMBER = f"{FOLDER}/test_batch.bin"
ROWS = 10_000  # of each member
ROW_BYTES = 1 + 3 * 32 * 32  # a label, then pixels: channel, row, column
MEMBER_BYTES = ROWS * ROW_BYTES
UNPACKED = 256 << 20  #: bytes; the archive has 184 million
NOT_IT = "this is not the binary CIFAR-10 archive, or it is damaged; get it again"


def _decode_member(raw: bytes, name: str) -> Split:
    """Decodes a member's rows, (ROWS, ROW_BYTES) uint8."""
    rows = np.frombuffer(raw, np.uint8).reshape(ROWS, ROW_BYTES)
    labels = rows[:, 0]
    if labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise UserError(
            f"{name}: row {row} has label {labels[row]}, expected 0 to 9: {NOT_IT}"
        )
    images = rows[:, 1:].reshape(ROWS, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), labels.copy())


class _Limited:
    """The unpacked bytes of a gzip file, up to `UNPACKED` of them."""

    def __init__(self, file: gzip.GzipFile, path: str | Path):
        self.file, self.path, self.left = file, path, UNPACKED

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        self.left -= len(data)
        if self.left < 0:
            raise UserError(
                f"{self.path}: unpacks to more than {UNPACKED:,} bytes, expected "
                f"about 184,000,000: {NOT_IT}"
            )
        return data


def read_archive(path: str | Path) -> tuple[Split, Split]:
    """Reads the binary version of CIFAR-10 (Krizhevsky 2009) without unpacking it.

    Nothing is written to disk, and at most `UNPACKED` bytes are decompressed. The
    archive is read to its end, where gzip's checksum (CRC-32) is verified.

    Args:
        path: cifar-10-binary.tar.gz.

    Returns:
        The 50,000 training and the 10,000 test images, in the archive's order.

    Raises:
        UserError: The archive is truncated, damaged, not a tar.gz or far too large; one
            of the six members is missing, there twice, not a regular file or of the
            wrong size; a label is above 9.
    """
    wanted = {*TRAINING_MEMBERS, TEST_MEMBER}
    splits: dict[str, Split] = {}
    try:
        with gzip.open(path) as file:
            content = _Limited(file, path)
            # A stream is only read, but typeshed asks for all methods of a file.
            with tarfile.open(  # type: ignore[call-overload]
                fileobj=content, mode="r|", bufsize=1 << 20
            ) as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    if name not in wanted:
                        continue
                    where = f"{path}, member {name}"
                    if name in splits:
                        raise UserError(f"{where}: it is there twice: {NOT_IT}")
                    if not member.isreg() or member.issparse():
                        raise UserError(f"{where}: it is not a regular file: {NOT_IT}")
                    if member.size != MEMBER_BYTES:
                        raise UserError(
                            f"{where}: found {member.size:,} bytes, expected "
                            f"{MEMBER_BYTES:,}: {NOT_IT}"
                        )
                    if unpacked := archive.extractfile(member):
                        splits[name] = _decode_member(unpacked.read(), where)
            while content.read(1 << 20):  # the padding, up to the checksum
                pass
    except (FileNotFoundError, PermissionError) as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (tarfile.TarError, EOFError, zlib.error, OSError, ValueError) as error:
        raise UserError(
            f"{path}: not a whole tar.gz ({brief(error)}): it is truncated or damaged; "
            "delete it and get the archive again"
        ) from error
    missing = sorted(wanted - splits.keys())
    if missing:
        raise UserError(f"{path}: member {missing[0]} is missing: {NOT_IT}")
    parts = [splits[name] for name in TRAINING_MEMBERS]
    training = Split(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return training, splits[TEST_MEMBER]

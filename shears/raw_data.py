"""Where the images come from: the CIFAR-10 archive and the demo's digits."""

import tarfile
import zlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from shears.dataset import Split
from shears.errors import UserError

FOLDER = "cifar-10-batches-bin"
TRAINING_MEMBERS = tuple(f"{FOLDER}/data_batch_{i}.bin" for i in range(1, 6))
TEST_MEMBER = f"{FOLDER}/test_batch.bin"
ROWS = 10_000  # of each member
ROW_BYTES = 1 + 3 * 32 * 32  # a label, then pixels: channel, row, column
DIGITS_TEST_IMAGES = 297


def _decode_member(raw: bytes, name: str) -> Split:
    """Decodes a member's rows, (ROWS, ROW_BYTES) uint8."""
    rows = np.frombuffer(raw, np.uint8).reshape(ROWS, ROW_BYTES)
    labels = rows[:, 0]
    if labels.max() > 9:
        row = int(np.argmax(labels > 9))
        raise UserError(
            f"{name}: row {row} has label {labels[row]}, expected 0 to 9: "
            "this is not the CIFAR-10 archive, or it is damaged; get it again"
        )
    images = rows[:, 1:].reshape(ROWS, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), labels.copy())


def read_archive(path: str | Path) -> tuple[Split, Split]:
    """Reads the binary version of CIFAR-10 (Krizhevsky 2009) without unpacking it.

    Members are read by name into memory, so none can be written anywhere.

    Args:
        path: cifar-10-binary.tar.gz.

    Returns:
        The 50,000 training and the 10,000 test images, in the archive's order.

    Raises:
        UserError: The archive is truncated or not a tar.gz; a member is missing, twice
            there, not a plain file or of another size; a label is above 9.
    """
    wanted = {*TRAINING_MEMBERS, TEST_MEMBER}
    found: dict[str, Split] = {}
    size = ROWS * ROW_BYTES
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if name not in wanted:
                    continue
                where = f"{path}, member {name}"
                if name in found:
                    raise UserError(
                        f"{where}: it is there twice; get the archive again"
                    )
                if not member.isfile() or member.size != size:
                    what = (
                        f"{member.size:,} bytes" if member.isfile() else "no plain file"
                    )
                    raise UserError(
                        f"{where}: found {what}, expected a file of {size:,} bytes: "
                        "this is not the binary CIFAR-10 archive, or it is damaged; "
                        "get it again"
                    )
                found[name] = _decode_member(archive.extractfile(member).read(), where)
    except (FileNotFoundError, PermissionError) as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise UserError(
            f"{path}: not a whole tar.gz ({error}): it is truncated or damaged; "
            "get the archive again"
        ) from error
    missing = sorted(wanted - found.keys())
    if missing:
        raise UserError(
            f"{path}: member {missing[0]} is missing; expected the binary version of "
            "CIFAR-10 (cifar-10-binary.tar.gz)"
        )
    parts = [found[name] for name in TRAINING_MEMBERS]
    training = Split(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return training, found[TEST_MEMBER]


def read_digits(seed: int) -> tuple[Split, Split]:
    """Makes the demo's data: scikit-learn's 1,797 handwritten digits as (32, 32, 3).

    Each 8x8 image of 17 grey levels is enlarged four times and repeated in 3 channels.

    Args:
        seed: Seed of the stratified split.

    Returns:
        1,500 images to train and validate with, 297 to test with.
    """
    digits = load_digits()
    grey = np.kron(digits.images, np.ones((4, 4))) * (255 / 16)
    images = np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=-1)
    return split_off(
        Split(images, digits.target.astype(np.uint8)), DIGITS_TEST_IMAGES, seed
    )


def split_off(data: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Splits so many images off, each class in proportion.

    Args:
        data: What to split.
        count: How many images to split off.
        seed: Seed of the draw.

    Returns:
        The rest, and what was split off; both in the order they had.

    Raises:
        UserError: Either part would have fewer images than there are classes.
    """
    total = len(data.labels)
    if not 10 <= count <= total - 10:
        raise UserError(
            f"data: validation_images: found {count:,}, expected 10 to "
            f"{total - 10:,}: the data set has {total:,} images to train with"
        )
    try:
        rest, apart = train_test_split(
            np.arange(total), test_size=count, random_state=seed, stratify=data.labels
        )
    except ValueError as error:
        raise UserError(
            f"the images cannot be split by class ({error}): this is not CIFAR-10"
        ) from error
    rest.sort()
    apart.sort()
    return (
        Split(data.images[rest], data.labels[rest]),
        Split(data.images[apart], data.labels[apart]),
    )

"""Batch files as Python 2 wrote the official ones, an instruction at a time."""

import struct
from collections.abc import Iterable, Sequence

import numpy as np


def short(number: int) -> bytes:
    return b"K%c" % number if number < 256 else b"M" + struct.pack("<H", number)


def string(text: bytes) -> bytes:
    """Python 2's text: its length in one byte, or in four."""
    if len(text) < 256:
        return b"U%c" % len(text) + text
    return b"T" + struct.pack("<i", len(text)) + text


def listed(items: Iterable[bytes]) -> bytes:
    return b"](" + b"".join(items) + b"e"


def array(
    content: bytes,
    shape: Sequence[int],
    *,
    dtype: bytes = b"u1",
    fortran: bytes = b"\x89",
    state: bytes = b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00",
) -> bytes:
    """NumPy's array: made empty, then given its state."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06"
        + b"K\x00\x85"
        + string(b"b")
        + b"\x87R(K\x01("  # fmt: skip
        + b"".join(map(short, shape))
        + b"tcnumpy\ndtype\nq\x07"
        + string(dtype)
        + b"K\x00K\x01\x87R(K\x03"  # fmt: skip
        + string(b"|")
        + state
        + b"tb"  # fmt: skip
        + fortran
        + content
        + b"tb"
    )


def batch(**items: bytes) -> bytes:
    """A dictionary of pickled values."""
    pairs = (string(key.encode()) + value for key, value in items.items())
    return b"\x80\x02}q\x01(" + b"".join(pairs) + b"u."


def python_2_batch(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """A whole batch file of (N, 3072) uint8 and (N,) uint8."""
    return batch(
        batch_label=string(b"training batch 1 of 5"),
        labels=listed(map(short, labels.tolist())),
        data=array(string(pixels.tobytes()), pixels.shape),
        filenames=listed(string(b"ship_s_%06d.png" % i) for i in range(len(labels))),
    )

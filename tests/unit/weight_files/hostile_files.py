"""Small files that make HDF5 loop, unpack gigabytes or open other files."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

HEAP = b"GCOL"  # how a collection of texts of any length begins


def endless_heap(path: Path) -> None:
    """The free space after a collection's texts has 0 bytes: HDF5 never passes it."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = "{}"
    content = bytearray(path.read_bytes())
    start = content.index(HEAP)
    (size,) = struct.unpack_from("<Q", content, start + 8)
    text = content.index(b"{}", start)
    free = text + 8  # a text is padded to eight bytes
    content[free : start + size] = bytes(start + size - free)
    path.write_bytes(content)


def one_text_many_times(path: Path) -> None:
    """Four thousand names share one text of a mebibyte."""
    with h5py.File(path, "w") as file:
        names = ["x" * (1 << 20), *["y"] * 3999]
        file.attrs.create("layer_names", names, dtype=h5py.string_dtype())
    content = path.read_bytes()
    # A reference to a text: its length, its collection's place, its number there.
    heaps = [match.start() for match in re.finditer(HEAP, content)]
    references = [struct.pack("<IQ", 1 << 20, heap) for heap in heaps]
    start = max(map(content.find, references))
    first = content[start : start + 16]
    path.write_bytes(content[:start] + 4000 * first + content[start + 16 * 4000 :])


def link_below_the_optimizer(path: Path) -> None:
    """A layer lies in a group that is passed over, and there in another file."""
    with h5py.File(path, "w") as file:
        name = "optimizer_weights/conv2d"
        file.attrs["layer_names"] = np.array([name], "S")
        fifo = path.with_name("fifo")
        os.mkfifo(fifo)
        file[name] = h5py.ExternalLink(str(fifo), "/")


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "endless heap": (endless_heap, "took more than 2 seconds of processor time"),
    "one text many times": (one_text_many_times, "memory"),
    "a link to a FIFO": (link_below_the_optimizer, "found no group, expected one"),
    "a FIFO": (os.mkfifo, "found a FIFO, expected a weights file"),
}

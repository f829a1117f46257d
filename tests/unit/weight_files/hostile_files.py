"""Small files that make HDF5 loop, crash, unpack gigabytes or open other files."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

HEAP = b"GCOL"  # how a collection of texts of any length begins
TREE = b"TREE"  # how a node of a B-tree begins
CHILDREN = 32  # of a node of a group's B-tree, at most
END = 40  # where the superblock keeps the length of the file


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


def link_below_the_optimizer(path: Path, target: Path) -> None:
    """A layer lies in a group that is passed over, and there in another file."""
    with h5py.File(path, "w") as file:
        name = "optimizer_weights/conv2d"
        file.attrs["layer_names"] = np.array([name], "S")
        file[name] = h5py.ExternalLink(str(target), "/")


def link_to_a_fifo(path: Path) -> None:
    fifo = path.with_name("fifo")
    os.mkfifo(fifo)
    link_below_the_optimizer(path, fifo)


def link_to_another_file(path: Path) -> None:
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file.attrs["weight_names"] = np.array([], "S")
    link_below_the_optimizer(path, other)


def _node(level: int, key: int, child: int) -> bytes:
    """A node of a group's B-tree whose children are all the same one."""
    head = TREE + struct.pack("<BBHqq", 0, level, CHILDREN, -1, -1)  # no siblings
    return head + CHILDREN * struct.pack("<QQ", key, child) + struct.pack("<Q", key)


def tree_that_returns(path: Path) -> None:
    """A group's B-tree leads to its only leaf in a million million ways."""
    with h5py.File(path, "w") as file:
        file.create_group("a")
    content = path.read_bytes()
    leaf = content.index(TREE)
    (key,) = struct.unpack_from("<Q", content, leaf + 24)
    node, nodes = leaf, b""
    for level in range(1, 9):
        nodes += _node(level, key, node)
        node = len(content) + len(nodes) - len(_node(level, key, node))
    # The root's B-tree, where its header and the superblock keep its place.
    start = content[:leaf].replace(struct.pack("<Q", leaf), struct.pack("<Q", node))
    end = struct.pack("<Q", len(content) + len(nodes))
    start = start[:END] + end + start[END + 8 :]
    path.write_bytes(start + content[leaf:] + nodes)


def name_that_is_not_indexed(path: Path) -> None:
    """A group's index does not have one of its names: HDF5 1.14 frees a wild pointer.

    Only groups of the newer format are indexed by their names' checksums.
    """
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(20):
            file.create_group(f"group_{number}")
    path.write_bytes(path.read_bytes().replace(b"group_7", b"group_x"))


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "endless heap": (endless_heap, "took more than 2 seconds of processor time"),
    "a tree that returns": (
        tree_that_returns,
        "took more than 2 seconds of processor time",
    ),
    "a name that is not indexed": (
        name_that_is_not_indexed,
        "the process that reads it died (SIG",
    ),
    "one text many times": (
        one_text_many_times,
        "reading it took more than 64 MiB of memory",
    ),
    "a link to a FIFO": (link_to_a_fifo, "found no group, expected one"),
    "a link to another file": (link_to_another_file, "found no group, expected one"),
    "a FIFO": (os.mkfifo, "found a FIFO, expected a weights file"),
}

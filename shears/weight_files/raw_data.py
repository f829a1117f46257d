"""Reads an array's bytes from an untrusted HDF5 file and undoes its filters here.

HDF5 trusts what a chunk says about itself: one that unpacks to less than it should
leaves the rest of the array to whatever lay in memory, and a few bytes may unpack to
gigabytes. Here a chunk's size is known before it is unpacked and compared afterwards.

Filters: https://support.hdfgroup.org/documentation/hdf5/latest/_f_i_l_e_f_m_t_s_p_e_c3.html
(The Filter Pipeline Message); LZF: the format of liblzf, as h5py registers it.
"""

import itertools
import math
import zlib
from collections.abc import Callable, Sequence

import h5py
import numpy as np

from shears.runtime.errors import UserError, brief

MOST_CHUNKS = 10_000  #: of an array; h5py divides the largest into 128
MOST_CHUNK = 1 << 26  #: bytes that a chunk may unpack to


def read_raw(item: h5py.Dataset) -> np.ndarray:
    """Reads a data set of numbers.

    Args:
        item: A data set of integers or floats. What its declaration says about its
            type and shape has been checked.

    Returns:
        An array of its shape and type.

    Raises:
        UserError: Its storage does not hold exactly the array. The error does not say
            where it is.
    """
    if item.id.get_type() != h5py.h5t.py_create(item.dtype):
        raise UserError("found an unusual type of number, expected float32")
    if item.external or item.is_virtual:
        raise UserError("its data is in another file, expected in this")
    if item.chunks:
        return _read_chunks(item)
    stored, expected = item.id.get_storage_size(), item.size * item.dtype.itemsize
    if not stored:  # never written
        return np.full(item.shape, item.fillvalue, item.dtype)
    if stored != expected:
        raise UserError(f"found {stored:,} bytes of data, expected {expected:,}")
    array: np.ndarray = item[()]
    return array


def _read_chunks(item: h5py.Dataset) -> np.ndarray:
    """Reads an array that is stored in chunks."""
    shape, chunk = item.shape, item.chunks
    size = math.prod(chunk) * item.dtype.itemsize
    if size > MOST_CHUNK:
        raise UserError(
            f"found chunks of {chunk}, expected at most {MOST_CHUNK >> 20} MiB each"
        )
    starts = [range(0, n, step) for n, step in zip(shape, chunk, strict=True)]
    count = math.prod(map(len, starts))
    if count > MOST_CHUNKS:
        raise UserError(f"found {count:,} chunks, expected at most {MOST_CHUNKS:,}")
    undo = _filters(item)
    # No filter that is known enlarges its data by more.
    most = size + size // 8 + 1024
    array = np.full(shape, item.fillvalue, item.dtype)
    for start in itertools.product(*starts):
        stored = item.id.get_chunk_info_by_coord(start)
        if stored.byte_offset is None:  # never written
            continue
        if stored.size > most:
            raise UserError(
                f"found a chunk of {stored.size:,} bytes, expected at most {most:,}"
            )
        content = item.id.read_direct_chunk(start)[1]
        for number, function in reversed(list(enumerate(undo))):
            if (
                not stored.filter_mask >> number & 1
            ):  # a filter that did not help is left out
                content = function(content, most)
        if len(content) != size:
            raise UserError(
                f"found a chunk that unpacks to {len(content):,} bytes, expected "
                f"{size:,}"
            )
        part = np.frombuffer(content, item.dtype).reshape(chunk)
        place = tuple(
            slice(first, first + step) for first, step in zip(start, chunk, strict=True)
        )
        array[place] = part[tuple(slice(n) for n in array[place].shape)]
    return array


Undo = Callable[[bytes, int], bytes]


def _filters(item: h5py.Dataset) -> list[Undo]:
    """Lists how to undo each filter of a data set, in the order they were applied."""
    properties = item.id.get_create_plist()
    undo: list[Undo] = []
    for i in range(properties.get_nfilters()):
        number, _, values, name = properties.get_filter(i)
        if number not in FILTERS:
            known = ", ".join(name for name, _ in FILTERS.values())
            name = brief(name.decode(errors="replace") or "unnamed")
            raise UserError(
                f"found the filter {number} ({name}), expected none or {known}"
            )
        undo.append(FILTERS[number][1](values))
    return undo


def _deflate(values: Sequence[int]) -> Undo:
    """Undoes gzip's compression."""

    def undo(content: bytes, most: int) -> bytes:
        stream = zlib.decompressobj()
        try:
            unpacked = stream.decompress(content, most)
        except zlib.error as error:
            raise UserError(f"found a chunk that is no gzip ({brief(error)})") from None
        if not stream.eof:
            raise UserError(
                f"found a chunk that is cut off or unpacks to more than {most:,} bytes"
            )
        return unpacked

    return undo


def _shuffle(values: Sequence[int]) -> Undo:
    """Puts the bytes of each number together again."""
    size = values[0] if values else 1

    def undo(content: bytes, most: int) -> bytes:
        count = len(content) // size if size else 0
        if size < 2 or count < 2:
            return content
        whole = np.frombuffer(content[: count * size], np.uint8)
        return whole.reshape(size, count).T.tobytes() + content[count * size :]

    return undo


def _fletcher32(values: Sequence[int]) -> Undo:
    """Compares the checksum after the data, and removes it."""

    def undo(content: bytes, most: int) -> bytes:
        data, stored = content[:-4], content[-4:]
        words = np.frombuffer(data + b"\0" * (len(data) % 2), ">u2").astype(np.uint64)
        sums = int(words.sum()), int((words * _countdown(len(words))).sum())
        # Sums in ones' complement: 0 only if every word is.
        low, high = ((total - 1) % 65535 + 1 if total else 0 for total in sums)
        value = (high << 16 | low).to_bytes(4, "little")
        # HDF5 before 1.6.3 swapped the bytes.
        swapped = bytes(value[i] for i in (1, 0, 3, 2))
        if stored not in (value, swapped):
            raise UserError("found a chunk with another checksum (fletcher32)")
        return data

    return undo


def _countdown(count: int) -> np.ndarray:
    """How often each word is in the sum of sums, modulo 65535."""
    return np.arange(count, 0, -1, dtype=np.uint64) % np.uint64(65535)


def _lzf(values: Sequence[int]) -> Undo:
    """Undoes LZF: runs of bytes, and references to earlier ones."""

    def undo(content: bytes, most: int) -> bytes:
        unpacked = bytearray()
        place = 0
        try:
            while place < len(content):
                control = content[place]
                place += 1
                if control < 32:
                    run = content[place : place + control + 1]
                    if len(run) <= control:
                        raise IndexError
                    unpacked += run
                    place += len(run)
                else:
                    length = control >> 5
                    if length == 7:
                        length += content[place]
                        place += 1
                    length += 2
                    back = ((control & 31) << 8 | content[place]) + 1
                    place += 1
                    if back > len(unpacked):
                        raise IndexError
                    run = bytes(unpacked[-back:][:length])
                    unpacked += (run * (length // len(run) + 1))[:length]
                if len(unpacked) > most:
                    raise UserError(
                        f"found a chunk that unpacks to more than {most:,} bytes"
                    )
        except IndexError:
            raise UserError("found a chunk that is no LZF, or is cut off") from None
        return bytes(unpacked)

    return undo


#: Name of each filter that is undone, and how, from the values that describe it.
FILTERS: dict[int, tuple[str, Callable[[Sequence[int]], Undo]]] = {
    h5py.h5z.FILTER_DEFLATE: ("gzip", _deflate),
    h5py.h5z.FILTER_SHUFFLE: ("shuffle", _shuffle),
    h5py.h5z.FILTER_FLETCHER32: ("fletcher32", _fletcher32),
    h5py.h5z.FILTER_LZF: ("lzf", _lzf),
}

"""Arrays of an untrusted file: read as HDF5 reads them, or refused."""

import zlib

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from shears.runtime.errors import UserError
from shears.weight_files.raw_data import read_raw

OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "compression": st.sampled_from(["gzip", "lzf"]),
        "shuffle": st.booleans(),
        "fletcher32": st.booleans(),
        "fillvalue": st.sampled_from([0, 3]),
    },
)
GZIP, SHUFFLE, FLETCHER32, LZF = 1, 2, 3, h5py.h5z.FILTER_LZF


def new_file() -> h5py.File:
    return h5py.File("file", "w", driver="core", backing_store=False)


def stored(file, content, *filters, mask=0):
    """A data set of 100 floats in one chunk, whose stored bytes are these."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((100,))
    for number in filters:
        {
            GZIP: lambda: properties.set_deflate(6),
            SHUFFLE: properties.set_shuffle,
            FLETCHER32: properties.set_fletcher32,
            LZF: lambda: properties.set_filter(LZF, h5py.h5z.FLAG_OPTIONAL, ()),
        }[number]()
    space = h5py.h5s.create_simple((100,))
    made = h5py.h5d.create(file.id, b"a", h5py.h5t.IEEE_F32LE, space, properties)
    made.write_direct_chunk((0,), content, mask)
    return file["a"]


@settings(max_examples=150)
@given(
    array=arrays_of.arrays(
        st.sampled_from(["<f4", ">f4", "<f8", "<f2", "i8", "u1"]),
        arrays_of.array_shapes(max_dims=4, max_side=9),
        elements=st.integers(0, 200),
    ),
    options=OPTIONS,
    data=st.data(),
)
def test_an_array_is_read_as_hdf5_reads_it(array, options, data):
    chunks = tuple(data.draw(st.integers(1, side)) for side in array.shape)
    written = data.draw(st.integers(0, array.shape[0]))
    with new_file() as file:
        item = file.create_dataset(
            "a", array.shape, array.dtype, chunks=chunks, **options
        )
        item[:written] = array[:written]  # the other chunks have the fill value
        read = read_raw(item)
        assert read.dtype == item.dtype
        np.testing.assert_array_equal(read, item[()])


@pytest.mark.parametrize("layout", ["contiguous", "compact", "never written"])
def test_an_array_without_chunks_is_read(layout):
    array = np.arange(100, dtype=np.float32)
    with new_file() as file:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        if layout == "compact":
            properties.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((100,))
        h5py.h5d.create(file.id, b"a", h5py.h5t.IEEE_F32LE, space, properties)
        if layout != "never written":
            file["a"][:] = array
        np.testing.assert_array_equal(read_raw(file["a"]), file["a"][()])


WHOLE = zlib.compress(bytes(400))
BAD = {
    "too little": ((zlib.compress(bytes(16)), GZIP), "unpacks to 16 bytes, expected 4"),
    "too much": ((zlib.compress(bytes(1 << 17)), GZIP), "unpacks to more than 1,474"),
    "packed twice": (
        (zlib.compress(zlib.compress(bytes(1 << 28))), GZIP, GZIP),
        "cut off or unpacks to more than 1,474 bytes",
    ),
    "the longest runs": (
        (b"\0a" + 400 * b"\xe0\xff\0", LZF),
        "found a chunk that unpacks to more than 1,474 bytes",
    ),
    "cut off": ((WHOLE[:-3], GZIP), "cut off or unpacks"),
    "no gzip": ((b"\0" * 99, GZIP), "no gzip"),
    "a wrong checksum": ((bytes(400) + b"abcd", FLETCHER32), "another checksum"),
    "a checksum alone": ((b"a", FLETCHER32), "another checksum"),
    "far too long": ((bytes(10_000), SHUFFLE), "found a chunk of 10,000 bytes"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_chunk_that_is_not_its_part_of_the_array_is_refused(kind):
    content, message = BAD[kind]
    with new_file() as file:
        item = stored(file, *content)
        with pytest.raises(UserError, match=message):
            read_raw(item)


def test_a_filter_that_was_left_out_is_not_undone():
    content = np.arange(100, dtype=np.float32).tobytes()
    with new_file() as file:
        item = stored(file, content, SHUFFLE, GZIP, mask=0b11)
        assert read_raw(item).tobytes() == content


def test_far_too_many_or_too_large_chunks_are_refused():
    with new_file() as file:
        file.create_dataset("many", (20_000,), "<f4", chunks=(1,))
        with pytest.raises(UserError, match="found 20,000 chunks, expected at most"):
            read_raw(file["many"])
        file.create_dataset("large", (1 << 26,), "<f4", chunks=(1 << 25,))
        with pytest.raises(UserError, match="expected at most 64 MiB each"):
            read_raw(file["large"])


@settings(max_examples=300)
@given(content=st.binary(max_size=600), kind=st.sampled_from(["gzip", "lzf"]))
def test_any_bytes_are_an_array_or_refused(content, kind):
    with new_file() as file:
        item = file.create_dataset("a", (100,), "<f4", chunks=(100,), compression=kind)
        if content:
            item.id.write_direct_chunk((0,), content)
        try:
            read = read_raw(item)
        except UserError as error:
            assert "\n" not in str(error)
        else:
            assert read.shape == (100,)

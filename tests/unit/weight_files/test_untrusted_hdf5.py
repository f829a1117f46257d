import json
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from shears.model.parameters import SMALLEST
from shears.runtime.errors import UserError
from shears.weight_files import untrusted_hdf5
from shears.weight_files.reader import read_weights_file
from shears.weight_files.untrusted_hdf5 import (
    MOST_TEXT,
    InspectedFile,
    attribute_keys,
    has_unicode,
    read_text,
    read_texts,
)
from tests.conftest import make_parameters
from tests.unit.weight_files.bad_files import store


def new_file(**options) -> h5py.File:
    """Makes a file in memory."""
    return h5py.File("file", "w", driver="core", backing_store=False, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True},
        {"compression": "lzf"},
        {"fletcher32": True},
        {"chunks": (2304, 512)},
        {},
    ],
)
def test_lossless_filters_of_hdf5_are_read(tmp_path, good, options):
    path = Path(shutil.copyfile(good, tmp_path / "a.h5"))
    with h5py.File(path, "r+") as file:
        store(file, **options)
    np.testing.assert_array_equal(
        read_weights_file(path).parameters.vector,
        make_parameters(0, zeros=0.9).vector,
    )


@given(
    array=arrays_of.arrays(
        np.float32,
        arrays_of.array_shapes(max_dims=3, max_side=4),
        elements=st.floats(width=32),
    )
)
def test_an_array_is_read_bit_for_bit_or_refused_for_one_of_its_values(array):
    bad = ~np.isfinite(array) | ((array != 0) & (np.abs(array) < SMALLEST))
    with new_file() as file:
        file["layer/kernel"] = array
        source = InspectedFile(file, {})
        assert list(source.data) == ["layer/kernel"]
        try:
            read = source.take("layer/kernel", array.shape)
        except UserError as error:
            place = re.match(r"layer/kernel: found .* at (\[.*?\]), ", str(error))
            assert bad[tuple(json.loads(place[1]))]
        else:
            assert not bad.any()
            assert read.tobytes() == array.tobytes()


@given(
    arrays_of.arrays(np.uint16, arrays_of.array_shapes(max_dims=3, max_side=3)),
    st.booleans(),
)
def test_bfloat16_is_the_upper_half_of_a_float32(bits, in_chunks):
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    small = (values != 0) & (np.abs(values) < SMALLEST)
    bits[~np.isfinite(values) | small] = 0
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    with new_file() as file:
        file.create_dataset("kernel", data=bits.view("V2"), chunks=in_chunks or None)
        source = InspectedFile(file, {})
        with pytest.raises(UserError, match=r"^kernel: found dtype \|V2, expected"):
            source.take("kernel", bits.shape, bfloat16=True)
        file["kernel"].attrs["dtype"] = "bfloat16"
        assert source.is_bfloat16("kernel")
        with pytest.raises(UserError, match=r"^kernel: found dtype \|V2, expected"):
            source.take("kernel", bits.shape)
        read = source.take("kernel", bits.shape, bfloat16=True)
        assert read.tobytes() == values.tobytes()
        assert source.ignored == ["the dtype bfloat16 of arrays, read as float32"]


@given(
    shape=arrays_of.array_shapes(max_dims=3, max_side=3),
    expected=arrays_of.array_shapes(max_dims=3, max_side=3),
    dtype=st.sampled_from(["<f4", ">f4", "f8", "f2", "i4", "u1", "?", "S4", "c8"]),
)
def test_another_shape_or_type_is_refused(shape, expected, dtype):
    numbers = dtype not in ("?", "S4", "c8")
    with new_file() as file:
        file["kernel"] = np.zeros(shape, dtype)
        source = InspectedFile(file, {})
        if numbers and shape == expected:
            array = source.take("kernel", expected)
            assert array.dtype == np.float32
            assert not array.any()
            read = f"the dtype {np.dtype(dtype).name} of arrays, read as float32"
            assert source.ignored == ([] if dtype in ("<f4", ">f4") else [read])
            return
        with pytest.raises(UserError, match="^kernel: found (dtype|shape)") as caught:
            source.take("kernel", expected)
    transposed = shape != expected and sorted(shape) == sorted(expected)
    if numbers:
        assert ("looks transposed" in str(caught.value)) == transposed


def test_data_that_is_linked_twice_is_read_once():
    with new_file() as file:
        file["a/kernel"] = np.ones(3, np.float32)
        file["copy"] = file["a"]
        source = InspectedFile(file, {})
        assert list(source.data) == ["a/kernel", "copy/kernel"]
        assert source.take("a/kernel", (3,)) is source.take("copy/kernel", (3,))


def test_what_is_passed_over_is_named_and_not_inspected():
    passed_over = {"optimizer": "the optimizer's state"}
    with new_file() as file:
        file["optimizer/loop"] = h5py.SoftLink("/nowhere")
        source = InspectedFile(file, passed_over)
        assert source.ignored == ["the optimizer's state in optimizer"]
        assert source.data == {}
        # Only at the root.
        file["layers/optimizer/loop"] = h5py.SoftLink("/nowhere")
        with pytest.raises(UserError, match="^layers/optimizer/loop: found a soft li"):
            InspectedFile(file, passed_over)


def test_objects_are_counted_at_every_depth(monkeypatch):
    monkeypatch.setattr(untrusted_hdf5, "MOST_OBJECTS", 4)
    with new_file() as file:
        file["a/b/c"] = np.ones(3, np.float32)
        file.create_group("d")
        InspectedFile(file, {})
        file.create_group("a/b/e")
        with pytest.raises(UserError, match="found more than 4 objects"):
            InspectedFile(file, {})


# As names are: HDF5 ends them at a NUL.
texts = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8
)


@given(names=st.lists(texts, max_size=5), text=texts)
def test_text_is_read_in_either_way_that_keras_writes_it(names, text):
    with new_file() as file:
        attributes = file.attrs
        attributes["fixed"] = np.array([name.encode() for name in names], "S")
        attributes.create("variable", names, dtype=h5py.string_dtype())
        attributes["one fixed"] = np.bytes_(text.encode())
        attributes["one variable"] = text
        assert read_texts(file, "fixed", "") == names
        assert read_texts(file, "variable", "") == names
        assert read_text(file, "one fixed", "") == text
        assert read_text(file, "one variable", "") == text


def test_a_long_list_may_be_in_several_attributes():
    with new_file() as file:
        for number, name in enumerate("abc"):
            file.attrs[f"names{number}"] = np.array([name], "S")
        file.attrs["names7"] = np.array(["z"], "S")
        assert attribute_keys(file, "names") == ["names0", "names1", "names2"]
        assert read_texts(file, "names", "") == ["a", "b", "c"]
        file.attrs["names"] = np.array(["d"], "S")
        assert read_texts(file, "names", "") == ["d"]


def test_text_that_old_h5py_does_not_read_as_bytes_is_known():
    with new_file() as file:
        file.attrs["fixed"] = np.bytes_("a")
        file.attrs["text"] = "a"
        file.attrs["bytes"] = b"a"
        file.attrs.create("texts", ["a"], dtype=h5py.string_dtype("utf-8"))
        file.attrs.create("ascii", ["a"], dtype=h5py.string_dtype("ascii"))
        file.attrs["numbers"] = [1.0]
        unicode = [key for key in file.attrs if has_unicode(file, key)]
        assert sorted(unicode) == ["text", "texts"]
        assert not has_unicode(file, "missing")


def test_a_missing_attribute_is_none_and_an_empty_list_is_empty():
    with new_file() as file:
        assert read_text(file, "a", "") is None
        assert read_texts(file, "a", "") is None
        file.attrs["a"] = []
        assert read_texts(file, "a", "") == []


def variable_length(texts: list[str]) -> np.ndarray:
    return np.array(texts, h5py.string_dtype())


BAD_TEXT = {
    "a number": (read_text, 7, "found no text, expected a string"),
    "a list of numbers": (read_texts, [1, 2], "found no names"),
    "a list for a text": (read_text, np.array([b"a"]), "found no text"),
    "a text for a list": (read_texts, "a", "found no list"),
    "a table": (read_texts, np.array([[b"a"]]), "found no list"),
    "another encoding": (read_text, np.bytes_(b"\xff"), "found no text in UTF-8"),
    "a name in another encoding": (read_texts, np.array([b"\xff"]), "found no text in"),
    "a megabyte": (
        read_texts,
        np.zeros(MOST_TEXT + 1, "S1"),
        "found 1,048,577 bytes, expected at most 1,048,576",
    ),
    "a megabyte of any length": (
        read_text,
        (MOST_TEXT + 1) * "x",
        "found 1,048,577 bytes, expected at most 1,048,576",
    ),
    "names of a megabyte together": (
        read_texts,
        variable_length(["x" * 600_000, "y" * 600_000]),
        "found 1,200,000 bytes, expected at most 1,048,576",
    ),
    "no space": (read_texts, h5py.Empty("f4"), "found no list"),
    "no space for a text": (read_text, h5py.Empty("S1"), "found no text"),
    "no space for a text of any length": (
        read_text,
        h5py.Empty(h5py.string_dtype()),
        "found no text",
    ),
    "lists of numbers": (
        read_texts,
        np.array([np.arange(2), np.arange(3)], h5py.vlen_dtype("i4")),
        "found no text",
    ),
}


@pytest.mark.parametrize("kind", BAD_TEXT)
def test_an_attribute_that_is_no_text_is_refused(kind):
    read, value, message = BAD_TEXT[kind]
    with new_file(libver="latest") as file:  # older formats hold 64 KiB at most
        file.attrs["names"] = value
        with pytest.raises(UserError) as caught:
            read(file, "names", "dense: ")
    assert str(caught.value).startswith(f"dense: attribute names: {message}")

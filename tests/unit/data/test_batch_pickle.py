import codecs
import os
import pickle
import pickletools
import struct
import sys
import tracemalloc
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.data.batch_pickle import LARGEST, MOST_STEPS, PIXELS, decode_batch
from shears.runtime.errors import UserError
from tests.unit.data.pickled import array, batch, listed, python_2_batch, short, string

ROWS = 3
DATA = np.random.default_rng(0).integers(0, 256, (ROWS, PIXELS), np.uint8)
LABELS = np.array([3, 0, 9], np.uint8)
OFFICIAL = python_2_batch(DATA, LABELS)

RUN: list[str] = []  # what Python reports of code that is run
watching = SimpleNamespace(now=False)
CODE = {"import", "exec", "compile", "open", "os.system", "pickle.find_class"}


def _listen(event: str, arguments: tuple) -> None:
    if watching.now and (event in CODE or event.startswith(("subprocess.", "os."))):
        RUN.append(f"{event} {arguments}")


sys.addaudithook(_listen)  # for good: Python removes none


@contextmanager
def nothing_runs():
    """Expects that no code is run, no file opened and nothing imported."""
    for codec in ("ascii", "latin-1", "raw-unicode-escape", "utf-8"):
        codecs.lookup(codec)  # imported on first use
    RUN.clear()
    watching.now = True
    try:
        yield
    finally:
        watching.now = False
    assert not RUN


def decode(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    with nothing_runs():
        return decode_batch(content, "a/data_batch_1", rows=ROWS)


def refusal(content: bytes) -> str:
    """Expects a refusal in one line; returns it."""
    with pytest.raises(UserError) as caught:
        decode(content)
    text = str(caught.value)
    assert text.startswith("a/data_batch_1: ")
    assert text.endswith(": this is not a batch of CIFAR-10's Python version")
    assert "\n" not in text
    assert len(text) < 350
    return text


def assert_is_whole(content: bytes) -> None:
    pixels, labels = decode(content)
    assert pixels.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, DATA)
    np.testing.assert_array_equal(labels, LABELS)


def test_the_official_form_is_read():
    assert_is_whole(OFFICIAL)
    loaded = pickle.loads(
        OFFICIAL, encoding="bytes"
    )  # the helper's pickle is a good one
    np.testing.assert_array_equal(loaded[b"data"], DATA)
    assert loaded[b"labels"] == LABELS.tolist()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("encoding", ["bytes", "latin1"])
@pytest.mark.parametrize("read_only", [False, True])
def test_batches_that_python_3_wrote_again_are_read(protocol, encoding, read_only):
    loaded = pickle.loads(OFFICIAL, encoding=encoding)
    key = next(key for key, value in loaded.items() if isinstance(value, np.ndarray))
    loaded[key] = loaded[key].copy()
    loaded[key].flags.writeable = not read_only
    assert_is_whole(pickle.dumps(loaded, protocol))
    # NumPy 1 has the same functions in numpy.core.
    assert_is_whole(pickle.dumps(loaded, 2).replace(b"numpy._core", b"numpy.core"))


def test_a_label_and_file_names_are_not_needed_and_not_read():
    items = {
        "labels": listed(map(short, LABELS)),
        "data": array(string(DATA.tobytes()), DATA.shape),
    }
    assert_is_whole(batch(**items))
    assert_is_whole(batch(**items, filenames=b"N", batch_label=b"]"))


def with_data(data: bytes) -> bytes:
    return batch(labels=listed(map(short, LABELS)), data=data)


def with_labels(labels: bytes) -> bytes:
    return batch(labels=labels, data=array(string(DATA.tobytes()), DATA.shape))


def calling(name: bytes, arguments: bytes) -> bytes:
    return with_data(b"c" + name + arguments + b"R")


def dumped(**changes: object) -> bytes:
    good = {"labels": LABELS.tolist(), "data": DATA}
    return pickle.dumps(good | changes, 4)


RAW = string(DATA.tobytes())
# Each with what the refusal says.
BAD = {
    "nothing": (b"", "pickle exhausted before seeing STOP"),
    "text": (b"<html>404</html>", "at position 0, opcode b'<' unknown"),
    "cut off": (OFFICIAL[:-1], "pickle exhausted before seeing STOP"),
    "cut off in the pixels": (OFFICIAL[:5000], "bytes in a string4, but only"),
    "more after its end": (OFFICIAL + b"xyz", "found 3 bytes after its end"),
    "two values": (b"\x80\x02}}.", "found 2 values, expected one dictionary"),
    "an open mark": (b"\x80\x02}(.", "found a mark that no"),
    "a list": (b"\x80\x02].", "its value is not a dictionary"),
    "protocol 0": (pickle.dumps({"data": 1}, 0), "found the instruction DICT"),
    "protocol 9": (b"\x80\x09}.", "found pickle protocol 9, expected 2 to 5"),
    "CIFAR-100": (
        batch(fine_labels=b"]", data=b"N", coarse_labels=b"]"),
        "found the keys coarse_labels, data, fine_labels, expected batch_label, data",
    ),
    "batches.meta": (batch(label_names=b"]"), "found the keys label_names, expected"),
    "an empty dictionary": (b"\x80\x02}.", "found the keys none, expected"),
    "a key that is a number": (b"\x80\x02}K\x01Ns.", "whose keys are not short text"),
    "a key without value": (b"\x80\x02}(K\x01u.", "whose keys are not short text"),
    "a long key": (batch(**{"k" * 250: b"N"}), "whose keys are not short text"),
    "no array": (with_data(b"]"), "its data are not an array"),
    "an array without state": (
        calling(
            b"numpy.core.multiarray\n_reconstruct\n",
            b"cnumpy\nndarray\nK\x00\x85U\x01b\x87",
        ),
        "its data have no dtype",
    ),
    "an image short": (
        with_data(array(RAW, (ROWS - 1, PIXELS))),
        "its data have shape (2, 3072), expected (3, 3072)",
    ),
    "four dimensions": (
        dumped(data=DATA.reshape(ROWS, 3, 32, 32)),
        "its data have no shape of two numbers, expected (3, 3072)",
    ),
    "transposed": (
        with_data(array(RAW, (PIXELS, ROWS))),
        "its data have shape (3072, 3), expected (3, 3072)",
    ),
    "a shape of bools": (
        with_data(array(RAW, ()).replace(b"K\x01(t", b"K\x01(\x88\x88t")),
        "its data have shape (True, True), expected (3, 3072)",
    ),
    "a byte of data short": (
        with_data(array(string(DATA.tobytes()[:-1]), DATA.shape)),
        "its data have 9,215 bytes, expected 9,216",
    ),
    "Fortran's order": (
        with_data(array(RAW, DATA.shape, fortran=b"\x88")),
        "its data are in Fortran's order, expected C's",
    ),
    "Fortran's order, protocol 5": (
        pickle.dumps({"labels": [1, 2, 3], "data": np.asfortranarray(DATA)}, 5),
        "its data are in Fortran's order, expected C's",
    ),
    "floats": (dumped(data=DATA / 255), "found data of dtype f8, expected u1 (uint8)"),
    "signed bytes": (dumped(data=DATA.view(np.int8)), "dtype i1, expected u1"),
    "objects": (dumped(data=DATA.astype(object)), "dtype O8, expected u1"),
    "objects that say they are bytes": (
        with_data(array(listed([b"N"]), DATA.shape)),
        "its data have no bytes",
    ),
    "a dtype with a base": (
        with_data(array(RAW, DATA.shape, state=b"))NK\x01K\x01K\x00")),
        "found another state, expected only NumPy's arrays",
    ),
    "a dtype with fields": (
        dumped(data=np.zeros(ROWS, [("a", np.uint8)])),
        "found data of dtype V1, expected u1 (uint8)",
    ),
    "a masked array": (
        dumped(data=np.ma.asarray(DATA)),
        "it asks for numpy.ma.core._mareconstruct, expected only NumPy's arrays",
    ),
    "labels in an array": (dumped(labels=LABELS), "its labels are not a list"),
    "a label short": (dumped(labels=[1, 2]), "found 2 labels, expected 3"),
    "label 10": (dumped(labels=[1, 10, 2]), "row 1 has label 10, expected 0 to 9"),
    "label -1": (dumped(labels=[1, 2, -1]), "row 2 has label -1, expected 0 to 9"),
    "a label of 600 digits": (dumped(labels=[1, 2, 1 << 2000]), "row 2 has label 1148"),
    "a bool": (dumped(labels=[1, True, 2]), "row 1 has a label of type bool"),
    "a name for a label": (
        with_labels(listed([b"cnumpy\ndtype\n", b"N", b"N"])),
        "row 0 has a label of type Name, expected int",
    ),
    "labels in themselves": (
        with_labels(b"]q\x09(h\x09h\x09h\x09e"),
        "row 0 has a label of type list",
    ),
    "a value from nowhere": (b"\x80\x02h\x07.", "an instruction that lacks its values"),
    "a value from below a mark": (b"\x80\x02}(\x85.", "lacks its values"),
    "items without a list": (b"\x80\x02}(K\x01e.", "found items without a list"),
    "a call of a list": (b"\x80\x02]]R.", "a call without a tuple of arguments"),
    "a name that is not text": (b"\x80\x04NN\x93.", "found a name that is not text"),
    "a name with an escape sequence": (
        b"\x80\x04\x8c\x02a\x1b\x8c\x01b\x93.",
        "it asks for a\\x1b.b, expected only NumPy's arrays",
    ),
    "a long name": (b"\x80\x02c" + b"x" * 9999 + b"\nb\n.", "it asks for xxx"),
    "text that no byte has": (
        calling(b"_codecs\nencode\n", b"X\x03\0\0\0\xe2\x82\xacX\6\0\0\0latin1\x86"),
        "can't encode character",
    ),
    "another codec": (
        calling(b"_codecs\nencode\n", b"X\1\0\0\0aX\3\0\0\0zip\x86"),
        "found another call",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_batches_are_refused_in_one_line(kind):
    content, message = BAD[kind]
    assert message in refusal(content)


class Gadget:
    """An object whose pickle calls something when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


GADGETS = {
    "os.system": (lambda d: Gadget(os.system, f"touch {d}/ran"), "posix.system"),
    "os.mkdir": (lambda d: Gadget(os.mkdir, f"{d}/ran"), "posix.mkdir"),
    "eval": (lambda d: Gadget(eval, f"open('{d}/ran', 'w')"), "eval"),
    "exec": (lambda d: Gadget(exec, f"open('{d}/ran', 'w')"), "exec"),
    "open": (lambda d: Gadget(open, f"{d}/ran", "w"), "io.open"),
    "ndarray.tofile": (lambda d: Gadget(DATA.tofile, f"{d}/ran"), "getattr"),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("kind", GADGETS)
def test_what_pickle_would_run_is_not_run(tmp_path, kind, protocol):
    make, name = GADGETS[kind]
    good = {"data": DATA, "labels": [1, 2, 3], "batch_label": b"a"}
    content = pickle.dumps(good | {"filenames": make(tmp_path)}, protocol)
    text = refusal(content)
    assert "it asks for " in text
    assert f"{name}, expected only NumPy's arrays" in text
    assert list(tmp_path.iterdir()) == []
    pickle.loads(content)
    assert list(tmp_path.iterdir()) == [tmp_path / "ran"]  # the gadget is a real one


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cnumpy\nload\nX\1\0\0\0a\x85R.",
        b"\x80\x02(iposix\nsystem\n.",
        b"\x80\x02(cnumpy\ndtype\no.",
        b"\x80\x02cnumpy\nndarray\n)\x81.",
        b"\x80\x04cnumpy\nndarray\n)}\x92.",
        b"\x80\x02\x82\x01.",
        b"\x80\x02P1\n.",
        b"\x80\x02NQ.",
        b"\x80\x05\x97.",
        b"\x80\x02cnumpy\nndarray\n}b.",
        b"\x80\x02cnumpy\nndarray\n)R.",
        b"\x80\x02cnumpy\ndtype\nX\2\0\0\0u1K\0K\1\x87R}b.",
    ],
)
def test_objects_of_other_kinds_are_refused(content):
    text = refusal(content)
    assert "found the instruction" in text or "expected only NumPy's arrays" in text


def number(value: int) -> bytes:
    return struct.pack("<Q", value)


TEXT = b"X" + struct.pack("<I", 100_000) + b"a" * 100_000  # 100 kB
LATIN_1 = b"X\6\0\0\0latin1"
# Small files that would take gigabytes or hours if they were believed.
BOMBS = {
    "bytes": (b"\x80\x04\x8e" + number(1 << 62) + b".", "in a bytes8, but only 1"),
    "a bytearray": (b"\x80\x05\x96" + number(1 << 40) + b".", "in a bytearray8"),
    "text": (b"\x80\x04\x8d" + number(1 << 63) + b".", "unicodestring8 byte count"),
    "an int": (
        b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "not enough data in stream to read long4",
    ),
    "a memo": (b"\x80\x02}r\xff\xff\xff\x7f.", "found the keys none"),
    "a shape": (
        with_data(array(RAW, DATA.shape).replace(b"M\x00\x0c", b"J\xff\xff\xff\x7f")),
        "its data have shape (3, 2147483647)",
    ),
    "depth": (b"\x80\x02" + b"]" * 90_000 + b"a" * 89_999 + b".", "not a dictionary"),
    "depth of tuples": (b"\x80\x02)" + b"\x85" * 199_000 + b".", "not a dictionary"),
    "lists of lists": (
        b"\x80\x02]" + b"(" + b"q\x01h\x01h\x01e".join([b"]"] * 9999) + b"e.",
        "this is not",
    ),
    "lists that double": (
        b"\x80\x02N" + b"q\x01h\x01\x86" * 60_000 + b".",
        "its value is not a dictionary",
    ),
    "text that is encoded again and again": (
        b"\x80\x02"
        + TEXT
        + b"q\x01"
        + LATIN_1
        + b"q\x02c_codecs\nencode\nq\x03"
        + b"h\x03h\x01h\x02\x86R" * 30_000
        + b".",
        "found bytes that are encoded again and again",
    ),
    "instructions": (b"\x80\x02" + b"N" * MOST_STEPS + b".", "than 200,000 instr"),
    "a file of 64 MiB": (b"\0" * (LARGEST + 1), "found 67,108,865 bytes, expected at"),
    "an error of 10 MB": (
        b"F" + b"1x" * 5_000_000 + b"\n.",
        "could not convert string",
    ),
    "keys of 10 MB": (
        b"\x80\x02}(X" + struct.pack("<I", 10**7) + b"k" * 10**7 + b"Nu.",
        "found the keys kkkk",
    ),
    "a name of 10 MB": (b"c" + b"x" * 10**7 + b"\nx\n.", "it asks for xxx"),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_refused_without_much_memory(kind):
    content, message = BOMBS[kind]
    tracemalloc.start()
    try:
        assert message in refusal(content)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(content) + (32 << 20)
    finally:
        tracemalloc.stop()


def is_read_or_refused(content: bytes) -> None:
    """Expects a batch or a refusal, that nothing runs, and no other exception."""
    try:
        pixels, labels = decode(content)
    except UserError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 350
    else:
        assert pixels.shape == DATA.shape
        assert labels.max() <= 9


START = OFFICIAL.index(DATA.tobytes()[:99])
PLACES = [*range(START), *range(START + DATA.size, len(OFFICIAL))]


@settings(max_examples=500, deadline=None)
@given(
    changes=st.dictionaries(
        st.sampled_from(PLACES), st.binary(min_size=0, max_size=3), max_size=6
    )
)
def test_no_mutation_of_a_batch_runs_or_crashes(changes):
    content = [OFFICIAL[i : i + 1] for i in range(len(OFFICIAL))]
    for place, new in changes.items():
        content[place] = new
    is_read_or_refused(b"".join(content))


ARGUMENTS = st.one_of(
    st.binary(max_size=9),
    st.sampled_from([b"posix\nsystem\n", b"numpy\ndtype\n", b"numpy\nndarray\n"]),
    st.builds(
        lambda module, name: f"{module}\n{name}\n".encode(),
        st.sampled_from(["os", "builtins", "numpy", "_codecs", "subprocess", "é"]),
        st.sampled_from(["system", "eval", "load", "encode", "Popen", "", "a.b"]),
    ),
)
INSTRUCTIONS = st.builds(
    lambda opcode, argument: opcode.code.encode("latin-1") + argument,
    st.sampled_from(pickletools.opcodes),
    ARGUMENTS,
)
# Whole pieces, so that the machine gets somewhere.
PIECES = st.sampled_from(
    [
        string(b"u1"), short(1), b"N", b"(", b"t", b")", b"\x85", b"\x86", b"\x87",
        b"R", b"b", b"a", b"e", b"s", b"u", b"]", b"}", b"q\x01", b"h\x01", b"\x94",
        b"cnumpy\ndtype\n", b"cnumpy\nndarray\n", b"c_codecs\nencode\n", LATIN_1,
        b"cnumpy.core.multiarray\n_reconstruct\n", b"cos\nsystem\n",
        b"cnumpy.core.numeric\n_frombuffer\n", b"C\x03abc", b"\x88", b"0", b"2",
        array(string(b"abc"), (1, 3)), string(b"labels"), string(b"data"),
    ]
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # in text of Python 2
@settings(max_examples=1000, deadline=None)
@given(parts=st.lists(st.one_of(PIECES, INSTRUCTIONS), max_size=40))
def test_no_program_runs_or_crashes(parts):
    is_read_or_refused(b"\x80\x04" + b"".join(parts) + b".")


@settings(max_examples=300, deadline=None)
@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.binary()
        | st.floats(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner)
        ),
    ),
    key=st.sampled_from(["data", "labels", "filenames"]),
    protocol=st.integers(0, 5),
)
def test_no_value_in_a_batch_crashes(value, key, protocol):
    good = {"data": DATA, "labels": LABELS.tolist()}
    is_read_or_refused(pickle.dumps(good | {key: value}, protocol))

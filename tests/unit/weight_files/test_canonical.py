import gzip
import json
import shutil
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.model.architecture import PARAMETERS, SHAPES
from shears.model.forward import build_keras_model
from shears.model.parameters import SMALLEST, count_zeros
from shears.runtime.errors import UserError
from shears.weight_files.canonical import read_weights, write_weights
from tests.conftest import make_weights, refused


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.h5"
    write_weights(path, make_weights(0, zeros=0.9))
    return path


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 999), zeros=st.floats(0, 1))
def test_round_trip_keeps_every_bit(tmp_path, seed, zeros):
    weights = make_weights(seed, zeros=zeros)
    write_weights(tmp_path / "a.h5", weights)
    read = read_weights(tmp_path / "a.h5")
    for before, after in zip(weights, read, strict=True):
        assert before.tobytes() == after.tobytes()
    assert count_zeros(read) == sum(int((w == 0).sum()) for w in weights)


def test_the_same_weights_give_the_same_bytes(tmp_path, good):
    write_weights(tmp_path / "a.h5", make_weights(0, zeros=0.9))
    assert (tmp_path / "a.h5").read_bytes() == good.read_bytes()


def test_zeros_make_the_file_small(good):
    assert good.stat().st_size < 1_200_000  # 5 MB without compression


def test_keras_loads_the_weights_into_the_network_built_afresh(good):
    model = build_keras_model()
    model.load_weights(str(good))
    for ours, theirs in zip(read_weights(good), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_keras_loads_the_whole_model(good):
    model = keras.models.load_model(str(good))
    images = np.random.default_rng(0).random((4, 32, 32, 3)).astype(np.float32)
    fresh = build_keras_model()
    fresh.load_weights(str(good))
    np.testing.assert_array_equal(model.predict(images), fresh.predict(images))


def test_attributes_are_fixed_length_bytes_for_old_tensorflow(good):
    with h5py.File(good) as file:
        names = file.attrs["layer_names"]
        assert names.dtype.kind == "S"
        for group in (file, file["model_weights"]):
            assert group.attrs["backend"] == b"tensorflow"
            assert group.attrs["keras_version"] == b"2.3.0-tf"
        assert file["dense"].attrs["weight_names"].dtype.kind == "S"
        assert file["dense"] == file["model_weights/dense"]  # a link, not a copy
        assert json.loads(file.attrs["model_config"])["class_name"] == "Sequential"


def test_denormals_and_minus_zero_are_written_as_zero(tmp_path):
    weights = make_weights(1)
    weights[0].flat[:3] = [np.float32(1e-40), -0.0, -SMALLEST / 2]
    write_weights(tmp_path / "a.h5", weights)
    head = read_weights(tmp_path / "a.h5")[0].ravel()[:3]
    assert head.tobytes() == bytes(12)


def test_nan_is_not_written(tmp_path):
    weights = make_weights(1)
    weights[3][5] = np.nan
    with pytest.raises(UserError, match="conv2d_1/bias:0 has a NaN"):
        write_weights(tmp_path / "a.h5", weights)
    assert list(tmp_path.iterdir()) == []


KERNEL = "dense/dense/kernel:0"


def replace(file, data):
    del file[KERNEL]
    file[KERNEL] = data


def bad_value(value):
    def spoil(file):
        data = file[KERNEL][:]
        data[7, 7] = value
        file[KERNEL][:] = data

    return spoil


def stored_in(file, data: np.ndarray, **options) -> None:
    """Puts the kernel there again, stored in another way."""
    del file[KERNEL]
    file.create_dataset(KERNEL, data=data, **options)


def empty(file, **options) -> None:
    """Puts a kernel there that declares a size and holds nothing."""
    del file[KERNEL]
    file.create_dataset(KERNEL, **options)


def elsewhere(file) -> None:
    """Puts the kernel's data into another file."""
    del file[KERNEL]
    file.create_dataset(
        KERNEL, (2304, 512), np.float32, external=[("raw.bin", 0, 2304 * 512 * 4)]
    )


def virtual(file) -> None:
    layout = h5py.VirtualLayout((2304, 512), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "x", (2304, 512))
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


def names(file, layer: str, value) -> None:
    file[layer].attrs["weight_names"] = value


BAD = {
    "NaN": (bad_value(np.nan), "NaN or infinite"),
    "infinity": (bad_value(-np.inf), "NaN or infinite"),
    "denormal": (bad_value(np.float32(1e-40)), "denormal"),
    "missing": (
        lambda f: f.__delitem__("dense_1/dense_1/bias:0"),
        "there is no data set",
    ),
    "no group": (lambda f: f.__delitem__("conv2d"), "there is no data set"),
    "nothing": (lambda f: f.clear(), "there is no data set"),
    "float16": (lambda f: replace(f, f[KERNEL][:].astype("f2")), "is float16"),
    "float64": (lambda f: replace(f, f[KERNEL][:].astype("f8")), "is float64"),
    "another byte order": (
        lambda f: replace(f, f[KERNEL][:].astype(">f4")),
        "is >f4",
    ),
    "integers": (lambda f: replace(f, np.zeros((2304, 512), int)), "is int64"),
    "text": (lambda f: replace(f, "text"), "is object ()"),
    "a number": (lambda f: replace(f, np.float32(1)), "is float32 ()"),
    "a compound type": (
        lambda f: replace(f, np.zeros(3, [("a", "f4"), ("b", "i4")])),
        "(3,), expected float32 (2304, 512)",
    ),
    "no space": (lambda f: replace(f, h5py.Empty("f4")), "expected float32"),
    "transposed": (lambda f: replace(f, f[KERNEL][:].T), "(512, 2304), expected"),
    "flat": (lambda f: replace(f, f[KERNEL][:].ravel()), "(1179648,), expected"),
    "another width": (lambda f: replace(f, f[KERNEL][:, :99]), "(2304, 99), expected"),
    "an absurd size": (
        lambda f: empty(f, shape=(1 << 40, 1 << 20), dtype="f4", chunks=(64, 64)),
        "(1099511627776, 1048576), expected",
    ),
    "a group for a data set": (
        lambda f: (f.__delitem__(KERNEL), f.create_group(KERNEL)),
        "there is no data set",
    ),
    "data in another file": (elsewhere, "are in another file"),
    "a virtual data set": (virtual, "are in another file"),
    "an external link for a layer": (
        lambda f: (
            f.__delitem__("conv2d"),
            f.__setitem__("conv2d", h5py.ExternalLink("other.h5", "/conv2d")),
        ),
        "conv2d is a link to elsewhere",
    ),
    "a soft link for a layer": (
        lambda f: (
            f.__delitem__("conv2d"),
            f.__setitem__("conv2d", h5py.SoftLink("/dense")),
        ),
        "conv2d is a link to elsewhere",
    ),
    "a soft link for a data set": (
        lambda f: (f.__delitem__(KERNEL), f.__setitem__(KERNEL, h5py.SoftLink("/x"))),
        "there is no data set",
    ),
    "a link in a circle": (
        lambda f: f.__setitem__("loop", h5py.SoftLink("/loop")),
        "loop is a link to elsewhere",
    ),
    "stray": (lambda f: f["dense"].create_dataset("x", data=[1.0]), "a stray data set"),
    "stray at the root": (
        lambda f: f.create_dataset("x", data=[1.0]),
        "stray data set",
    ),
    "another network": (
        lambda f: f.attrs.__setitem__("model_config", np.bytes_("{}")),
        "model_config is not the fixed network",
    ),
    "no model_config": (lambda f: f.attrs.__delitem__("model_config"), "model_config"),
    "layers in another order": (
        lambda f: f.attrs.__setitem__("layer_names", f.attrs["layer_names"][::-1]),
        "layer_names are not",
    ),
    "layer_names of another type": (
        lambda f: f.attrs.__setitem__("layer_names", 7),
        "bad.h5: ",
    ),
    "bias before kernel": (
        lambda f: names(f, "dense", f["dense"].attrs["weight_names"][::-1]),
        "weight_names of dense are not",
    ),
    "no weight_names": (
        lambda f: f["dense"].attrs.__delitem__("weight_names"),
        "weight_names",
    ),
}


def spoilt(good: Path, folder: Path) -> Path:
    """A copy without the checksum beside it, so that the contents must speak."""
    return Path(shutil.copyfile(good, folder / "bad.h5"))


@pytest.mark.parametrize("kind", BAD)
def test_bad_weights_are_refused_in_a_line(tmp_path, good, kind):
    path = spoilt(good, tmp_path)
    spoil, message = BAD[kind]
    with h5py.File(path, "r+") as file:
        spoil(file)
    with refused(path, message):
        read_weights(path)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.h5"]


CONTENTS = {
    "empty": lambda good: b"",
    "cut in the header": lambda good: good[:100],
    "cut in the data": lambda good: good[:50_000],
    "one byte short": lambda good: good[:-1],
    "text": lambda good: b"these are no weights",
    "an archive": lambda good: gzip.compress(good),
    "zeros": lambda good: bytes(5_000_000),
    "a flipped bit in the data": lambda good: (
        good[:300_000] + bytes([good[300_000] ^ 1]) + good[300_001:]
    ),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_bad_contents_are_refused_in_a_line(tmp_path, good, kind):
    path = tmp_path / "bad.h5"
    path.write_bytes(CONTENTS[kind](good.read_bytes()))
    with refused(path, "damaged (not HDF5: "):
        read_weights(path)


def test_a_folder_or_nothing_is_refused_in_a_line(tmp_path):
    for path in (tmp_path, tmp_path / "none.h5"):
        with refused(path, "damaged (not HDF5: "):
            read_weights(path)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_makes_reading_crash_and_sealed_files_show_all(tmp_path, good, data):
    content = bytearray(good.read_bytes())
    # HDF5's own structures lie mostly at the beginning and between the arrays.
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(
            st.one_of(st.integers(0, 4000), st.integers(0, len(content) - 1))
        )
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "bad.h5"
    path.write_bytes(content)
    try:
        for array, shape in zip(read_weights(path), SHAPES, strict=True):
            assert array.shape == shape
            assert np.isfinite(array).all()
    except UserError as error:
        assert str(error).startswith(str(path))
        assert str(error).count("\n") <= 1
    seal = good.with_name(f".{good.name}.sha256").read_text()
    (tmp_path / ".bad.h5.sha256").write_text(seal)
    if content != good.read_bytes():
        with refused(path, "damaged"):
            read_weights(path)
    (tmp_path / ".bad.h5.sha256").unlink()


def test_shapes_add_up():
    assert sum(int(np.prod(shape)) for shape in SHAPES) == PARAMETERS == 1_250_858

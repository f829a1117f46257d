import json
import shutil

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.architecture import PARAMETERS, SHAPES
from shears.errors import UserError
from shears.network import build_keras_model
from shears.weights import SMALLEST, count_zeros, read_weights, write_weights
from tests.conftest import make_weights


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


BAD = {
    "NaN": (bad_value(np.nan), "NaN or infinite"),
    "infinity": (bad_value(-np.inf), "NaN or infinite"),
    "denormal": (bad_value(np.float32(1e-40)), "denormal"),
    "missing": (
        lambda f: f.__delitem__("dense_1/dense_1/bias:0"),
        "there is no data set",
    ),
    "no group": (lambda f: f.__delitem__("conv2d"), "there is no data set"),
    "float16": (lambda f: replace(f, f[KERNEL][:].astype("f2")), "is float16"),
    "float64": (lambda f: replace(f, f[KERNEL][:].astype("f8")), "is float64"),
    "integers": (lambda f: replace(f, np.zeros((2304, 512), int)), "is int64"),
    "transposed": (lambda f: replace(f, f[KERNEL][:].T), r"\(512, 2304\), expected"),
    "stray": (lambda f: f["dense"].create_dataset("x", data=[1.0]), "a stray data set"),
    "stray at the root": (
        lambda f: f.create_dataset("x", data=[1.0]),
        "stray data set",
    ),
    "another network": (
        lambda f: f.attrs.__setitem__("model_config", np.bytes_("{}")),
        "not the fixed network",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused(tmp_path, good, kind):
    path = tmp_path / "bad.h5"
    shutil.copyfile(good, path)
    spoil, message = BAD[kind]
    with h5py.File(path, "r+") as file:
        spoil(file)
    with pytest.raises(UserError, match=message) as caught:
        read_weights(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("keep", [0, 100, 50_000])
def test_truncated_files_are_refused(tmp_path, good, keep):
    (tmp_path / "bad.h5").write_bytes(good.read_bytes()[:keep])
    with pytest.raises(UserError, match="cannot be read as HDF5"):
        read_weights(tmp_path / "bad.h5")


def test_shapes_add_up():
    assert sum(int(np.prod(shape)) for shape in SHAPES) == PARAMETERS == 1_250_858

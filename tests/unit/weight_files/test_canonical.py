import errno
import fcntl
import json
import os
import shutil

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.model.forward import build_keras_model
from shears.model.parameters import SMALLEST
from shears.runtime.errors import UserError
from shears.weight_files.canonical import read_weights, write_weights
from tests.conftest import make_parameters, refused
from tests.unit.weight_files.bad_files import BAD, NOT_HDF5, flip_bits
from tests.unit.weight_files.genuine_files import unpack


@settings(
    max_examples=10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(seed=st.integers(0, 999), zeros=st.floats(0, 1))
def test_a_round_trip_keeps_every_bit(tmp_path, seed, zeros):
    written = make_parameters(seed, zeros=zeros)
    write_weights(tmp_path / "a.h5", written)
    read = read_weights(tmp_path / "a.h5")
    assert read.vector.dtype == np.float32
    assert read.vector.tobytes() == written.vector.tobytes()
    assert read.count_zeros() == int((written.vector == 0).sum())


def test_the_same_weights_give_the_same_bytes(tmp_path, good):
    write_weights(tmp_path / "a.h5", make_parameters(0, zeros=0.9))
    assert (tmp_path / "a.h5").read_bytes() == good.read_bytes()


def test_zeros_make_the_file_small(good):
    assert good.stat().st_size < 1_200_000  # 5 MB without compression


def test_keras_loads_the_weights_into_a_new_network(good):
    model = build_keras_model()
    model.load_weights(str(good))
    for ours, theirs in zip(
        read_weights(good).arrays, model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_keras_loads_the_whole_model(good):
    model = keras.models.load_model(str(good))
    images = np.random.default_rng(0).random((4, 32, 32, 3)).astype(np.float32)
    new = build_keras_model()
    new.load_weights(str(good))
    np.testing.assert_array_equal(model.predict(images), new.predict(images))


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
    parameters = make_parameters(1)
    parameters.kernels[0].flat[:3] = [np.float32(1e-40), -0.0, -SMALLEST / 2]
    write_weights(tmp_path / "a.h5", parameters)
    head = read_weights(tmp_path / "a.h5").kernels[0].ravel()[:3]
    assert head.tobytes() == bytes(12)


def test_nan_is_not_written(tmp_path):
    parameters = make_parameters(1)
    parameters.biases[1][5] = np.nan
    with pytest.raises(UserError, match="conv2d_1/bias:0 has a NaN"):
        write_weights(tmp_path / "a.h5", parameters)
    assert list(tmp_path.iterdir()) == []


# Anybody's file may be without it, the workflow's has it.
BAD_HERE = BAD | {
    "no model_config": (
        lambda f: f.attrs.__delitem__("model_config"),
        "found no model_config",
    ),
}


@pytest.mark.parametrize("kind", BAD_HERE)
def test_bad_weights_are_refused_in_one_line(tmp_path, good, kind):
    # Its checksum is not copied, so it is the contents that are refused.
    path = tmp_path / "bad.h5"
    shutil.copyfile(good, path)
    spoil, message = BAD_HERE[kind]
    with h5py.File(path, "r+") as file:
        spoil(file)
    with refused(path, message):
        read_weights(path)
    assert [p.name for p in tmp_path.iterdir()] == ["bad.h5"]


@pytest.mark.parametrize("kind", NOT_HDF5)
def test_files_that_are_not_hdf5_are_refused_in_one_line(tmp_path, good, kind):
    path = tmp_path / "bad.h5"
    change, message = NOT_HDF5[kind]
    path.write_bytes(change(good.read_bytes()))
    with refused(path, f"damaged ({message}"):
        read_weights(path)


def test_a_folder_is_refused_in_one_line(tmp_path):
    with refused(tmp_path, "expected a weights file"):
        read_weights(tmp_path)


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="none.h5"):
        read_weights(tmp_path / "none.h5")
    path = tmp_path / "a.h5"
    path.write_bytes(b"x")

    for number in (errno.EACCES, errno.EIO, errno.ENOLCK):

        def refuse(*_, number=number, **__):
            raise OSError(number, "Unable to open file")

        monkeypatch.setattr(h5py, "File", refuse)
        with pytest.raises(OSError, match=os.strerror(number)):
            read_weights(path)
    monkeypatch.undo()
    with path.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another program has it open"):
            read_weights(path)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("keras-3.15.sequential.save.h5", "Keras 2 model"),
        ("keras-3.15.sequential.save_weights.weights.h5", "Keras 3 weights"),
        ("tensorflow-2.13.sequential.save_weights.weights.h5", "TensorFlow 2.13"),
    ],
)
def test_weights_in_another_layout_are_refused_in_one_line(tmp_path, name, layout):
    path = unpack(name, tmp_path)
    with refused(path, f"found the layout {layout}"):
        read_weights(path)


def test_weights_with_the_state_of_an_optimizer_are_refused_in_one_line(tmp_path, good):
    path = tmp_path / "bad.h5"
    shutil.copyfile(good, path)
    with h5py.File(path, "r+") as file:
        file["optimizer_weights/momentum"] = np.zeros(3, np.float32)
    with refused(path, "damaged (found the optimizer's state"):
        read_weights(path)


@pytest.mark.slow
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_crashes_reading_and_a_checksum_reveals_it(tmp_path, good, data):
    content = flip_bits(data, good.read_bytes())
    path = tmp_path / "bad.h5"
    path.write_bytes(content)
    try:
        assert np.isfinite(read_weights(path).vector).all()
    except UserError as error:
        assert str(error).startswith(str(path))
        assert str(error).count("\n") <= 1
    seal = good.with_name(f".{good.name}.sha256").read_text(encoding="utf-8")
    (tmp_path / ".bad.h5.sha256").write_text(seal, encoding="utf-8")
    if content != good.read_bytes():
        with refused(path, "damaged"):
            read_weights(path)
    (tmp_path / ".bad.h5.sha256").unlink()

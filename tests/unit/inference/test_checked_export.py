import os
import re
import sys

import numpy as np
import pytest

from shears import inference_cli
from shears.inference import checked_export
from shears.inference.checked_export import FORMATS, export_and_check, write_export
from shears.inference.compact_network import CompactNetwork
from shears.inference.compaction import BATCH, compute_logits
from shears.runtime.errors import UserError
from tests.unit.inference.c_programs import (
    narrow_network,
    needs_compiler,
    random_network,
)
from tests.unit.inference.common import constant_network

NETWORK = random_network((4, 4, 8, 4, 16), 0.5)
IMAGES = np.random.default_rng(6).random((7, 32, 32, 3)).astype(np.float32)
EXACT = ["onnx", "tflite", pytest.param("keras", marks=pytest.mark.slow)]
WITH_C = [*EXACT, pytest.param("c", marks=[needs_compiler, pytest.mark.slow])]


def export(kind, network=NETWORK, images=IMAGES):
    calibration = IMAGES if kind == "tflite-int8" else None
    return export_and_check(network, kind, images, calibration=calibration)


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("kind", WITH_C)
def test_an_export_agrees_with_the_network(kind, count):
    for network in (NETWORK, narrow_network(5), constant_network()):
        made = export(kind, network, IMAGES[:count])
        expected = compute_logits(network, IMAGES[:count])
        assert tuple(made.files) == FORMATS[kind]
        assert made.difference <= 1e-5 * max(1, np.abs(expected).max())
        np.testing.assert_array_equal(made.predictions, expected.argmax(1))
        assert made.unchecked == ""


def test_images_are_compared_in_several_batches():
    images = np.resize(IMAGES, (BATCH + 1, 32, 32, 3))
    made = export("onnx", images=images)
    assert len(made.predictions) == BATCH + 1


@pytest.mark.parametrize("kind", WITH_C)
def test_an_export_that_is_wrong_is_refused(kind, monkeypatch, tmp_path):
    other = NETWORK._replace(biases=tuple(1.001 * bias for bias in NETWORK.biases))
    name = {"c": "write_c", "tflite": "to_litert"}.get(kind, f"to_{kind}")
    genuine = getattr(checked_export, name)
    monkeypatch.setattr(checked_export, name, lambda _, *more: genuine(other, *more))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError, match="outputs differ by .*, expected at most"):
        export(kind)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.0])
def test_outputs_that_are_no_numbers_are_refused(wrong, monkeypatch):
    genuine = checked_export.open_onnx

    def broken(model):
        predict = genuine(model)
        return lambda images: np.where(np.eye(10)[3], wrong, predict(images))

    monkeypatch.setattr(checked_export, "open_onnx", broken)
    with pytest.raises(RuntimeError, match="outputs differ by"):
        export("onnx")


def scaled(factor: float) -> CompactNetwork:
    """The network with a last layer that is larger by a factor."""
    kernels, biases = list(NETWORK.kernels), list(NETWORK.biases)
    kernels[-1] = np.float32(factor) * kernels[-1]
    biases[-1] = np.float32(factor) * biases[-1]
    return NETWORK._replace(kernels=tuple(kernels), biases=tuple(biases))


@pytest.mark.parametrize("kind", WITH_C)
def test_large_logits_may_differ_by_as_much_as_float32_rounds(kind):
    network = scaled(3000 / np.abs(compute_logits(NETWORK, IMAGES)).max())
    made = export(kind, network)
    np.testing.assert_array_equal(
        made.predictions, compute_logits(network, IMAGES).argmax(1)
    )


@pytest.mark.parametrize("kind", ["onnx", "keras"])
def test_a_network_that_overflows_in_float32_is_a_line(kind):
    first, second, *others = NETWORK.kernels
    factor = np.float32(1e25)
    network = NETWORK._replace(kernels=(factor * first, factor * second, *others))
    with pytest.raises(UserError, match="cannot be computed in float32"):
        export(kind, network)


def test_int8_rounds_and_is_not_refused():
    made = export("tflite-int8")
    expected = compute_logits(NETWORK, IMAGES)
    assert tuple(made.files) == (".int8.tflite",)
    assert 1e-5 < made.difference < 0.1 * np.abs(expected).max()
    assert made.unchecked == ""


def test_int8_alone_is_calibrated():
    with pytest.raises(ValueError, match="calibration: found none, expected training"):
        export_and_check(NETWORK, "tflite-int8", IMAGES)
    made = export_and_check(NETWORK, "tflite", IMAGES, calibration=IMAGES)
    assert made.files == export("tflite").files


def test_without_a_compiler_the_c_code_is_made_and_said_to_be_unchecked(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    made = export_and_check(NETWORK, "c", IMAGES, name="mine")
    assert made.unchecked == "there is no C compiler here"
    assert made.difference is None
    assert b"void mine_logits(" in made.files[".h"]
    assert b'#include "mine.h"' in made.files[".c"]
    expected = compute_logits(NETWORK, IMAGES).argmax(1)
    np.testing.assert_array_equal(made.predictions, expected)


@pytest.mark.parametrize(
    ("kind", "package"),
    [
        ("onnx", "onnx"),
        ("onnx", "onnxruntime"),
        ("tflite", "ai_edge_litert.interpreter"),
    ],
)
def test_a_missing_package_is_a_line(kind, package, monkeypatch, capfd):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match="found no package") as error:
        export(kind)
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_int8_kernels_that_do_not_take_a_network_are_a_line(capfd):
    silent = NETWORK._replace(biases=(NETWORK.biases[0] - 100, *NETWORK.biases[1:]))
    with pytest.raises(UserError, match="LiteRT cannot run the model: ") as error:
        export("tflite-int8", silent)
    assert "\n" not in str(error.value)
    assert "take no layer whose outputs are 0 for all calibration" in str(error.value)
    assert capfd.readouterr() == ("", "")
    assert export("tflite", silent).difference < 1e-5


@pytest.mark.parametrize("kind", [*EXACT, "tflite-int8"])
def test_nothing_is_printed(kind, capfd):
    export(kind)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_the_command_offers_each_format():
    assert inference_cli.FORMATS == tuple(FORMATS)


def test_files_are_named_after_the_target(tmp_path):
    target = tmp_path / "new/folder/my.network"
    paths = write_export({".c": b"code", ".h": b"header"}, target)
    assert paths == [target.with_name("my.network.c"), target.with_name("my.network.h")]
    assert [path.read_bytes() for path in paths] == [b"code", b"header"]
    write_export({".c": b"other"}, target)
    assert paths[0].read_bytes() == b"other"


@pytest.mark.parametrize("suffix", [".c", ".h"])
def test_if_one_file_cannot_be_written_none_is(suffix, tmp_path):
    blocked = tmp_path / f"x{suffix}"
    blocked.mkdir()
    with pytest.raises(OSError, match="Is a directory") as error:
        write_export({".c": b"code", ".h": b"header"}, tmp_path / "x")
    assert error.value.filename == str(blocked)
    assert os.listdir(tmp_path) == [blocked.name]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shears.runtime.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left") as error:
        write_export({".c": b"code", ".h": b"header"}, tmp_path / "x")
    assert re.search(r"/x\.[ch]$", error.value.filename)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_up_later_leaves_the_files_that_were_there(
    tmp_path, monkeypatch
):
    write_export({".c": b"old", ".h": b"old"}, tmp_path / "x")
    genuine, done = os.fsync, []

    def full_at_the_second(descriptor):
        if done:
            raise OSError(28, "No space left on device")
        done.append(genuine(descriptor))

    monkeypatch.setattr("shears.runtime.files.os.fsync", full_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        write_export({".c": b"code", ".h": b"header"}, tmp_path / "x")
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"old"}
    assert len(os.listdir(tmp_path)) == 2

import sys

import numpy as np
import pytest

from shears.inference.export import to_keras, to_litert, to_onnx
from shears.inference.runtimes import open_keras, open_litert, open_onnx, require
from shears.runtime.errors import UserError
from tests.unit.inference.c_programs import assert_equal_logits, random_network

NETWORK = random_network((3, 4, 5, 2, 17), 0.5)
IMAGES = np.random.default_rng(5).random((5, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("package", "named"),
    [
        ("onnx", "onnx"),
        ("onnxruntime", "onnxruntime"),
        ("ai_edge_litert.interpreter", "ai-edge-litert"),
    ],
)
def test_a_missing_package_is_a_line_with_its_name_and_how_to_install(
    monkeypatch, package, named
):
    monkeypatch.setitem(sys.modules, package, None)
    openers = {"onnxruntime": open_onnx, "ai_edge_litert.interpreter": open_litert}
    with pytest.raises(UserError) as error:
        openers.get(package, lambda _: require(package))(b"")
    message = str(error.value)
    assert message.startswith(f"found no package {named} (")
    assert message.endswith("in a checkout of Shears: pip install '.[inference]'")
    assert "\n" not in message


def test_a_package_that_is_there_is_imported():
    assert require("json.decoder").JSONDecoder


@pytest.mark.parametrize(
    ("export", "load"), [(to_onnx, open_onnx), (to_litert, open_litert)]
)
def test_threads_and_changes_of_the_batch_do_not_change_logits(export, load):
    model = export(NETWORK)
    for threads in (1, 2):
        predict = load(model, threads)
        for count in (5, 1, 1, 3):
            images = IMAGES[:count]
            assert_equal_logits(NETWORK, images, predict(images))


def test_results_are_the_callers():
    for predict in (open_onnx(to_onnx(NETWORK)), open_litert(to_litert(NETWORK))):
        first = predict(IMAGES[:1])
        kept = first.copy()
        predict(IMAGES[1:2])
        np.testing.assert_array_equal(first, kept)


@pytest.mark.slow
def test_keras_predicts_without_a_word(capfd):
    predict = open_keras(to_keras(NETWORK))
    capfd.readouterr()
    probabilities = predict(IMAGES)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert capfd.readouterr() == ("", "")

import sys

import numpy as np
import pytest

from shears.inference.compaction import CompactNetwork, compact, compute_logits
from shears.inference.export import IR_VERSION, OPSET, to_keras, to_litert, to_onnx
from shears.inference.runtimes import open_keras, open_litert, open_onnx, require
from shears.runtime.backend import tf
from shears.runtime.errors import UserError
from tests.unit.inference.c_programs import (
    assert_equal_logits,
    narrow_network,
    random_network,
)
from tests.unit.inference.common import IMAGES, constant_network, make_network

BATCH = np.random.default_rng(3).random((7, 32, 32, 3)).astype(np.float32)
BATCH[:4] = IMAGES
NETWORKS = {
    "constant": constant_network,
    **{f"narrow {seed}": lambda seed=seed: narrow_network(seed) for seed in range(4)},
    "compacted": lambda: compact(make_network(1)),
}


@pytest.fixture(params=NETWORKS)
def network(request) -> CompactNetwork:
    return NETWORKS[request.param]()


@pytest.mark.parametrize(
    ("export", "load"), [(to_onnx, open_onnx), (to_litert, open_litert)]
)
def test_logits_are_the_networks_for_any_batch(network, export, load):
    predict = load(export(network))
    for count in (1, 2, 7, 1):
        logits = predict(BATCH[:count])
        assert logits.shape == (count, 10)
        assert_equal_logits(network, BATCH[:count], logits)


@pytest.mark.slow
def test_the_keras_model_gives_the_networks_probabilities(network):
    predict = open_keras(to_keras(network))
    expected = tf.nn.softmax(compute_logits(network, BATCH)).numpy()
    for count in (1, 2, 7):
        probabilities = predict(BATCH[:count])
        assert probabilities.dtype == np.float32
        np.testing.assert_allclose(probabilities, expected[:count], rtol=0, atol=1e-5)


def test_the_onnx_model_is_what_it_says(network):
    onnx = require("onnx")
    model = onnx.load_model_from_string(to_onnx(network))
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == IR_VERSION
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert (OPSET, IR_VERSION) == (17, 8)
    shapes = {}
    for value in (*model.graph.input, *model.graph.output):
        tensor = value.type.tensor_type
        assert tensor.elem_type == onnx.TensorProto.FLOAT
        shapes[value.name] = [d.dim_param or d.dim_value for d in tensor.shape.dim]
    assert shapes == {"images": ["N", 32, 32, 3], "logits": ["N", 10]}


def test_onnx_holds_each_weight_once():
    network = random_network((3, 4, 5, 2, 17), 0.5)
    model = require("onnx").load_model_from_string(to_onnx(network))
    sizes = [int(np.prod(array.dims)) for array in model.graph.initializer]
    assert sum(sizes) == network.parameters
    assert len(sizes) == 12


def test_int8_has_weights_in_bytes_and_is_close():
    network = random_network((8, 8, 16, 16, 64), 0.5)
    images = np.random.default_rng(4).random((40, 32, 32, 3)).astype(np.float32)
    model = to_litert(network, images)
    assert len(model) < len(to_litert(network)) / 2
    interpreter = require("ai_edge_litert.interpreter").Interpreter(model_content=model)
    dtypes = {detail["dtype"] for detail in interpreter.get_tensor_details()}
    assert np.int8 in dtypes
    for given in (interpreter.get_input_details(), interpreter.get_output_details()):
        assert [detail["dtype"] for detail in given] == [np.float32]
    predict = open_litert(model)
    expected = compute_logits(network, BATCH)
    for count in (1, 2, 7):
        difference = np.abs(predict(BATCH[:count]) - expected[:count]).max()
        assert 0 < difference < 0.1 * np.abs(expected).max()


def test_a_constant_network_has_an_int8_form():
    network = constant_network()
    predict = open_litert(to_litert(network, BATCH))
    np.testing.assert_allclose(
        predict(BATCH), compute_logits(network, BATCH), rtol=0, atol=0.1
    )


@pytest.mark.slow
def test_the_keras_model_is_the_assignments_without_dropout(tmp_path):
    network = random_network((3, 4, 5, 2, 17), 0.5)
    path = tmp_path / "network.keras"
    path.write_bytes(to_keras(network))
    model = tf.keras.models.load_model(path)
    assert [layer.name for layer in model.layers if layer.weights] == [
        *("conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "dense", "dense_1")
    ]
    assert model.input_shape == (None, 32, 32, 3)
    assert model.layers[-1].activation is tf.keras.activations.softmax
    arrays = [a for pair in zip(*network, strict=True) for a in pair]
    for array, expected in zip(model.get_weights(), arrays, strict=True):
        np.testing.assert_array_equal(array, expected)


def test_exporting_needs_onnx_for_onnx_alone(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match="found no package onnx .*pip install") as error:
        to_onnx(constant_network())
    assert "\n" not in str(error.value)
    assert to_litert(constant_network())

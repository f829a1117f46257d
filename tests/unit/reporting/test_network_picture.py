import base64
import re

import numpy as np
import pytest

from shears.model.architecture import LAYERS, PARAMETERS
from shears.model.parameters import Parameters
from shears.reporting.network_picture import CELLS, FULL, LEAST, SIZE, describe_network
from tests.conftest import make_parameters


def whole() -> Parameters:
    return Parameters(np.ones(PARAMETERS, np.float32))


def grids(picture) -> list[list[np.ndarray]]:
    """The sides of the squares, of each stage and layer."""
    data = picture["data"]
    values = np.frombuffer(base64.b64decode(data["sides"]), np.uint8)
    shapes = [(layer["rows"], layer["columns"]) for layer in data["layers"]]
    each = values.reshape(len(data["stages"]), -1)
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    assert each.shape[1] == ends[-1]
    return [
        [
            part.reshape(shape)
            for part, shape in zip(np.split(row, ends), shapes, strict=False)
        ]
        for row in each
    ]


def test_a_dense_network_is_all_full_squares():
    picture = describe_network(["dense"], [whole()])
    for grid in grids(picture)[0]:
        assert (grid == 255).all() and max(grid.shape) <= CELLS
    assert picture["data"]["stages"] == [
        "dense: 1,250,858 weights kept, 0.00 % are zero"
    ]
    texts = [layer["texts"] for layer in picture["data"]["layers"]]
    assert texts[0] == ["864 of 864 weights kept (100 %), 32 of 32 units"]
    assert texts[5] == ["5,120 of 5,120 weights kept (100 %)"]
    assert picture["paths"][0].count("M") == 27 * 32


def test_the_areas_add_up_to_what_each_layer_keeps():
    networks = [make_parameters(0, zeros=zeros) for zeros in (0.2, 0.9)]
    for stage, network in zip(
        grids(describe_network(["a", "b"], networks)), networks, strict=True
    ):
        for grid, kernel in zip(stage, network.kernels, strict=True):
            kept = np.count_nonzero(kernel) / kernel.size
            assert ((grid / 255.0) ** 2).mean() == pytest.approx(kept, abs=0.006)


def test_what_is_not_whole_is_never_called_100_per_cent():
    network = whole()
    network.kernels[0][0, 0, 0, :3] = 0
    network.kernels[4][0, 0] = 0
    texts = [
        layer["texts"][0]
        for layer in describe_network(["x"], [network])["data"]["layers"]
    ]
    assert texts[0].startswith("861 of 864 weights kept (99.65 %)")
    assert "(99.99 %)" in texts[4]


def test_units_and_inputs_that_keep_most_come_first():
    network = whole()
    network.kernels[0][..., 3:] = 0  # three filters are left
    network.kernels[4][:2000, :] = 0
    first, *_, dense, _ = grids(describe_network(["x"], [network]))[0]
    assert (first[:, :3] == 255).all() and not first[:, 3:].any()
    assert (np.diff(dense.astype(int), axis=0) <= 0).all()
    text = describe_network(["x"], [network])["data"]["layers"][0]["texts"][0]
    assert text == "81 of 864 weights kept (9.4 %), 3 of 32 units"


def test_an_empty_layer_is_empty_and_a_single_weight_is_seen():
    network = Parameters(np.zeros(PARAMETERS, np.float32))
    network.kernels[4][5, 7] = 1.0
    picture = describe_network(["x"], [network])
    assert [path.count("M") for path in picture["paths"]] == [0, 0, 0, 0, 1, 0]
    x, y, w, h = map(
        float, re.match(r"M(.+) (.+)h(.+)v(.+)h", picture["paths"][4]).groups()
    )
    cell = SIZE / CELLS
    assert w == h == pytest.approx(FULL * LEAST * cell, abs=0.06)
    assert x + w / 2 == y + h / 2 == pytest.approx(cell / 2, abs=0.1)
    assert len(LAYERS) == len(picture["data"]["layers"])

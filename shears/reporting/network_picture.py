"""The header picture: which weights each layer keeps, from dense to sparse.

A layer is a grid of squares. A square is a block of weights between some inputs and
some units, and its area is the fraction of them that is kept. page.js draws the same
squares when the slider moves.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from shears.model.architecture import LAYERS
from shears.model.parameters import Parameters
from shears.pruning.dead_units import find_dead_units

CELLS = 32  #: at most, of a grid, across and down
SIZE = 320  #: of a layer's picture, in its own unit
FULL = 0.9  #: side of a square whose weights are all kept, as a fraction of its cell
LEAST = 0.12  #: side of one that keeps any, so that it is seen


def _count_kept(parameters: Parameters, layer: int) -> np.ndarray:
    """Counts a kernel's nonzero weights: (inputs, units), int.

    An input is a channel of the layer before, or one of the 27 pixels that a filter of
    the first layer sees.
    """
    if layer == 0:
        return (parameters.incoming(0) != 0).astype(int)
    return np.count_nonzero(parameters.outgoing(layer - 1), axis=0)


def _group(order: np.ndarray) -> list[np.ndarray]:
    """Splits an order into at most `CELLS` groups of about the same size."""
    return np.array_split(order, min(CELLS, len(order)))


def _densities(stages: Sequence[Parameters], layer: int) -> np.ndarray:
    """Computes the density of each square: (stages, rows, columns), float.

    Inputs and units are in the order of what they keep at the last stage, the most
    first.
    """
    counts = np.stack([_count_kept(stage, layer) for stage in stages])
    inputs, units = (
        _group(np.argsort(-counts[-1].sum(axis), kind="stable")) for axis in (1, 0)
    )
    each = LAYERS[layer].kernel
    weights = np.prod(each) / (counts.shape[1] * counts.shape[2])  # of a pair
    sums = np.stack([counts[:, group].sum(1) for group in inputs], 1)
    sums = np.stack([sums[..., group].sum(-1) for group in units], -1)
    sizes = np.outer([len(g) for g in inputs], [len(g) for g in units])
    return sums / (sizes * weights)


def _bytes(densities: np.ndarray) -> np.ndarray:
    """Encodes densities as the sides of squares, 0 to 255; only 0 for nothing kept."""
    sides = np.ceil(255 * np.sqrt(densities))
    return sides.clip(0, 255).astype(np.uint8)


def _path(sides: np.ndarray) -> str:
    """Draws squares as an SVG path; page.js does the same.

    Args:
        sides: (rows, columns) uint8, from `_bytes`.
    """
    height, width = (SIZE / count for count in sides.shape)
    parts = []
    for row, column in np.argwhere(sides):
        side = FULL * max(sides[row, column] / 255, LEAST)
        w, h = side * width, side * height
        x, y = (column + 0.5) * width - w / 2, (row + 0.5) * height - h / 2
        parts.append(f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h-{w:.1f}z")
    return "".join(parts)


def _shape(kernel: tuple[int, ...]) -> str:
    """Writes a kernel's shape for readers: "3 x 3, 32 to 64"."""
    *window, inputs, outputs = kernel
    before = f"{window[0]} × {window[1]}, " if window else ""
    return f"{before}{inputs:,} to {outputs}"


def _kept(kept: int, weights: int, live: np.ndarray | None) -> str:
    """Says how many weights and units of a layer are left."""
    percent = 100 * kept / weights  # two digits, but never 100 of what is not whole
    share = f"{percent:.2g}" if percent < 99.5 else f"{min(percent, 99.99):.2f}"
    if kept == weights:
        share = "100"
    text = f"{kept:,} of {weights:,} weights kept ({share} %)"
    return text if live is None else f"{text}, {live.sum()} of {len(live)} units"


def describe_network(
    names: Sequence[str], stages: Sequence[Parameters]
) -> dict[str, Any]:
    """Collects what the picture shows.

    Args:
        names: The stages' names; the last is the one that is shown at first.
        stages: The network at each.

    Returns:
        ``paths``, the squares of each layer at the last stage, and ``data`` for
        page.js: ``stages``, a text for each; ``layers``: name, shape, rows, columns and
        a text for each stage; ``sides``, a byte for each square by stage, layer, row
        and column, in Base64; ``size``, ``full`` and ``least``, to draw them.
    """
    live = [
        {name: ~units for name, units in find_dead_units(stage).items()}
        for stage in stages
    ]
    grids = [_bytes(_densities(stages, i)) for i in range(len(LAYERS))]
    sides = [grid[stage].tobytes() for stage in range(len(stages)) for grid in grids]
    data = {
        "stages": [
            f"{name}: {np.count_nonzero(stage.vector):,} weights kept, "
            f"{100 * stage.count_zeros() / stage.vector.size:.2f} % are zero"
            for name, stage in zip(names, stages, strict=True)
        ],
        "layers": [
            {
                "name": layer.name,
                "shape": _shape(layer.kernel),
                "rows": grid.shape[1],
                "columns": grid.shape[2],
                "texts": [
                    _kept(
                        int(np.count_nonzero(stage.kernels[i])),
                        stage.kernels[i].size,
                        units.get(layer.name),
                    )
                    for stage, units in zip(stages, live, strict=True)
                ],
            }
            for i, (layer, grid) in enumerate(zip(LAYERS, grids, strict=True))
        ],
        "sides": base64.b64encode(b"".join(sides)).decode(),
        "size": SIZE,
        "full": FULL,
        "least": LEAST,
    }
    return {"paths": [_path(grid[-1]) for grid in grids], "data": data}

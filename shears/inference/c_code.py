"""C code of a pruned network: only weights that are not zero are stored and multiplied.

``network.c`` and ``network.h`` beside this module are the templates. They hold the
computation; this module fills in the widths and the tables of weights.

Which form of a layer is faster was measured (one core with AVX-512, GCC 12). The time
of a convolution grows with its weights up to all of them, where it reaches 67 to 92 %
of the core's peak: a dense form would hardly win before. The dense hidden layer takes
4, 38, 100 and 254 us with 1, 10, 25 and 50 % of its weights, and 206 us in its dense
form. The last layer is always dense: it takes 0.1 us.
"""

import re
from importlib import resources
from typing import NamedTuple

import numpy as np

from shears.inference.compact_network import CompactNetwork
from shears.model.architecture import HIDDEN

# These are the templates', too.
ROWS = (14, 12, 16, 14)  # of a channel of each convolution's input, as stored
COLUMNS = (32, 32, 16, 16)
LANES = 16  # floats of the widest vector
# Where a column of a kernel has weights, from the first to the last.
PATTERNS = ((True,), (True, True), (True, True, True), (True, False, True))
DENSE = 0.4  # density above which all weights of the dense hidden layer are listed
FEATURES = 48  # floats for the 36 features of a channel


class CCode(NamedTuple):
    """A network as C code.

    Attributes:
        name: Of the files, without suffix, and of the functions, as a prefix.
        source: The text of ``name.c``.
        header: The text of ``name.h``.
        workspace: Bytes that a caller provides, a thread.
        single_workspace: The same without room for batches.
        constants: Bytes of weights, biases and indices.
    """

    name: str
    source: str
    header: str
    workspace: int
    single_workspace: int
    constants: int


def write_c(network: CompactNetwork, name: str = "shears") -> CCode:
    """Writes a network as C99 code: a ``.c`` and a ``.h`` file without dependencies.

    A network that is constant becomes functions that copy its logits.

    Args:
        network: Of any widths up to those of the fixed network.
        name: Of the files and a prefix of all functions; a C identifier.

    Returns:
        The texts, which depend on nothing but the arguments, and sizes.

    Raises:
        ValueError: The name is no identifier.
    """
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError(f"name: found {name!r}, expected a C identifier")
    tables = {} if network.constant else _tables(network)
    constants = sum(table.nbytes for table in tables.values())
    *channels, units = network.widths
    units = _round_up(units, LANES)
    first, second, third, fourth = channels
    shared = max(9 * 14 * 32 + first * 12 * 32, third * 14 * 16)
    single = 32 + shared + 320 + second * 16 * 16 + fourth * FEATURES + units
    batch = single + (fourth * FEATURES + units) * LANES
    if network.constant:
        single = batch = 1
    values = {
        "NAME": name,
        "MACRO": name.upper(),
        "UNITS": units,
        "GROUP": _group(network.kernels[4]),
        "INDICES": 1 if _is_dense(network.kernels[4]) else _group(network.kernels[4]),
        "SHARED": shared,
        "SINGLE": single,
        "BATCH": batch,
        "NUMBERS": (
            f"Weights and indices: {constants:,} bytes. Workspace: {4 * batch:,} "
            f"bytes, or {4 * single:,}."
        ),
        "TABLES": "\n".join(_declare(*table) for table in tables.items()),
        **{f"CHANNELS_{i}": width for i, width in enumerate(channels, 1)},
    }
    source = "constant.c" if network.constant else "network.c"
    if network.constant:
        values["TABLES"] = _declare("bias_6", network.biases[-1])
    return CCode(
        name,
        _fill(source, values),
        _fill("network.h", values),
        4 * batch,
        4 * single,
        constants,
    )


def _round_up(number: int, step: int) -> int:
    """Rounds up to a multiple."""
    return -(-number // step) * step


def _fill(template: str, values: dict[str, object]) -> str:
    """Fills in a template: each ``@KEY@`` by its value."""
    text = resources.files(__package__).joinpath(template).read_text(encoding="utf-8")
    return re.sub("@([A-Z0-9_]+)@", lambda match: str(values[match[1]]), text)


def _declare(name: str, table: np.ndarray) -> str:
    """Declares a constant array, float or uint16."""
    kind = "float" if table.dtype == np.float32 else "uint16_t"
    shape = "".join(f"[{n}]" for n in table.shape)
    rows = table if table.ndim == 2 else [table]
    texts = [", ".join(map(_literal, row)) for row in rows]
    text = ",\n".join(f"{{{text}}}" for text in texts) if table.ndim == 2 else texts[0]
    return f"static const {kind} {name}{shape} = {{{_wrapped(text)}}};"


def _literal(value: np.generic) -> str:
    """Writes a number such that C reads the same one."""
    if value.dtype != np.float32:
        return str(value)
    text = f"{value:.9g}"
    return f"{text}f" if set(text) & set(".e") else f"{text}.0f"


def _wrapped(text: str) -> str:
    """Breaks a list of numbers into lines."""
    return re.sub("(.{80,}?,) ", "\\1\n", text)


def _tables(network: CompactNetwork) -> dict[str, np.ndarray]:
    """Makes the tables that the template describes, without those that are empty."""
    tables: dict[str, np.ndarray] = {}
    for i in range(4):
        tables |= _convolution_tables(i, network.kernels[i])
    order, dense = _dense_tables(network)
    tables |= dense
    for i in HIDDEN:
        tables[f"bias_{i + 1}"] = network.biases[i]
    units = _round_up(len(order), LANES) - len(order)
    tables["bias_5"] = np.pad(network.biases[4][order], (0, units))
    tables["weight_6"] = np.pad(network.kernels[5][order].T, ((0, 0), (0, units)))
    tables["bias_6"] = network.biases[5]
    # C has no empty arrays.
    return {k: v if v.size else np.zeros(1, v.dtype) for k, v in tables.items()}


def _convolution_tables(index: int, kernel: np.ndarray) -> dict[str, np.ndarray]:
    """Lists the weights of a kernel (3, 3, in, out) by output channel and column.

    The weights of a column that are in the same places of it follow each other.
    """
    if index == 0:  # its columns have planes of their own
        kernel = kernel.reshape(3, 1, -1, kernel.shape[-1])
    weights, offsets, counts = [np.zeros(0, np.float32)], [], []
    for columns in kernel.transpose(3, 1, 2, 0).reshape(-1, kernel.shape[2], 3):
        parts = [
            part
            for plane, column in enumerate(columns)
            for part in _parts(plane * ROWS[index], column)
        ]
        for pattern in PATTERNS:
            found = [(row, part) for row, part in parts if (*(part != 0),) == pattern]
            counts.append(len(found))
            offsets += [row for row, _ in found]
            weights += [part[part != 0] for _, part in found]
    return {
        f"weight_{index + 1}": np.concatenate(weights),
        f"offset_{index + 1}": _short(np.array(offsets, int) * COLUMNS[index] // 2),
        f"count_{index + 1}": _short(np.array(counts, int)),
    }


def _parts(start: int, column: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Returns a column from its first to its last weight, if there is one."""
    rows = np.flatnonzero(column)
    return [(start + rows[0], column[rows[0] : rows[-1] + 1])] if len(rows) else []


def _dense_tables(network: CompactNetwork) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Lists the weights of the dense hidden layer, of a group of units alternately.

    Units are in the order of their numbers of weights, so that a group's are about the
    same; zeros fill up. If `_is_dense`, all weights are listed.

    Returns:
        The order of the units and the tables.
    """
    kernel = network.kernels[4]
    inputs, units = kernel.shape
    pixels, channels = np.divmod(np.arange(inputs), inputs // 36)
    rows, columns = np.divmod(pixels, 6)
    features = channels * FEATURES + rows * 8 + columns + 2
    order = np.argsort(-np.count_nonzero(kernel, 0), kind="stable")
    padded = np.pad(kernel[:, order], ((0, 0), (0, _round_up(units, LANES) - units)))
    dense = _is_dense(kernel)
    weights, indices, counts = [], [], []
    for group in np.split(padded, padded.shape[1] // _group(kernel), axis=1):
        left = np.ones(group.shape, bool) if dense else group != 0
        count = left.sum(0).max()
        # The first `count` inputs of each unit, those with weights first.
        first = np.argsort(~left, axis=0, kind="stable")[:count]
        weights.append(np.take_along_axis(group, first, 0).ravel())
        indices.append(features[first].ravel())
        counts.append(count)
    return order, {
        "weight_5": np.concatenate(weights),
        "index_5": _short(features if dense else np.concatenate(indices)),
        "count_5": _short(np.array(counts)),
    }


def _is_dense(kernel: np.ndarray) -> bool:
    """Returns whether the dense form of a dense layer is the faster one."""
    return bool(np.count_nonzero(kernel) > DENSE * kernel.size)


def _group(kernel: np.ndarray) -> int:
    """Returns how many units of a dense layer are computed together."""
    return LANES if _is_dense(kernel) else 8


def _short(numbers: np.ndarray) -> np.ndarray:
    """Stores whole numbers in 16 bits."""
    assert not numbers.size or 0 <= numbers.min() and numbers.max() < 1 << 16
    return numbers.astype(np.uint16)

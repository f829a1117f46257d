"""C code of a pruned network: only weights that are not zero are stored and multiplied.

``network.c`` and ``network.h`` beside this module are the templates. They hold the
computation; this module fills in the widths and the tables of weights.
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
GROUP = 8  # units of the dense hidden layer that are computed together
LANES = 16  # floats of the widest vector
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
        "GROUP": GROUP,
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
    """Lists the weights of a kernel (3, 3, in, out), by output channel and column."""
    by_column = kernel.transpose(3, 1, 2, 0)  # out, column, in, row
    inputs = kernel.shape[2]
    planes = np.arange(inputs)[None, :]
    if index == 0:  # each column has its own planes
        planes = planes + inputs * np.arange(3)[:, None]
    offsets = (planes[..., None] * ROWS[index] + np.arange(3)) * COLUMNS[index] // 2
    left = by_column != 0
    counts = left.sum((2, 3)) if index else left.sum((1, 2, 3))
    return {
        f"weight_{index + 1}": by_column[left],
        f"offset_{index + 1}": _short(np.broadcast_to(offsets, left.shape)[left]),
        f"count_{index + 1}": _short(counts.ravel()),
    }


def _dense_tables(network: CompactNetwork) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Lists the weights of the dense hidden layer, of GROUP units alternately.

    Units are in the order of their numbers of weights, so that a group's are about the
    same; zeros fill up.

    Returns:
        The order of the units and the tables.
    """
    kernel = network.kernels[4]
    inputs, units = kernel.shape
    pixels, channels = np.divmod(np.arange(inputs), inputs // 36)
    rows, columns = np.divmod(pixels, 6)
    features = channels * FEATURES + rows * 8 + columns + 2
    order = np.argsort(-np.count_nonzero(kernel, 0), kind="stable")
    weights, indices, counts = [], [], []
    for start in range(0, _round_up(units, LANES), GROUP):
        group = kernel[:, order[start : start + GROUP]]
        count = int(np.count_nonzero(group, 0).max(initial=0))
        block = np.zeros((count, GROUP), np.float32)
        index = np.zeros((count, GROUP), int)
        index += features[:1].sum()  # what zeros fill up with is multiplied, too
        for unit, column in enumerate(group.T):
            left = np.flatnonzero(column)
            block[: len(left), unit] = column[left]
            index[: len(left), unit] = features[left]
        weights.append(block.ravel())
        indices.append(index.ravel())
        counts.append(count)
    return order, {
        "weight_5": np.concatenate(weights),
        "index_5": _short(np.concatenate(indices)),
        "count_5": _short(np.array(counts)),
    }


def _short(numbers: np.ndarray) -> np.ndarray:
    """Stores whole numbers in 16 bits."""
    assert not numbers.size or 0 <= numbers.min() and numbers.max() < 1 << 16
    return numbers.astype(np.uint16)

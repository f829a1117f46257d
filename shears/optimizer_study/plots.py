"""Plots and the table of Part A's study."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from shears.optimizer_study.study import METHODS, SHARE, Valley, best_run, difference

matplotlib.rcParams["svg.hashsalt"] = "shears"

# Okabe and Ito's palette, which colour-blind readers can distinguish.
COLORS = dict(zip(METHODS, ("#D55E00", "#0072B2", "#009E73", "#CC79A7"), strict=True))
NAMES = {
    "gradient_descent": "gradient descent",
    "sgd": "SGD",
    "adagrad": "AdaGrad",
    "adam": "Adam",
}
STYLES = {"all": "--", "one": "-"}

Cells = Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
"""Cells by data set, optimizer and implementation."""


class Line(NamedTuple):
    """A line of the table: an optimizer on a data set, at its best learning rate.

    Attributes:
        data_set: The data set.
        optimizer: The optimizer, and what its gradients are of.
        learning_rate: The best one; None if all diverge.
        updates: Updates until it arrives; None if it never does.
        epochs: The same in passes over the data.
        milliseconds: The same in time.
        distance: Final distance to the solution, as a share of the solution's length.
        diverged: Number of learning rates that diverge.
        keras_updates: Updates until Keras' optimizer arrives.
        difference: Largest relative difference between our losses and Keras'.
    """

    data_set: str
    optimizer: str
    learning_rate: float | None
    updates: int | None
    epochs: float | None
    milliseconds: float | None
    distance: float | None
    diverged: int
    keras_updates: int | None
    difference: float


def _label(optimizer: str, samples: str) -> str:
    """Names an optimizer, and its samples if it is measured with both kinds."""
    if len(METHODS[optimizer].samples) == 1:
        return NAMES[optimizer]
    return f"{NAMES[optimizer]}, {samples} sample{'s' if samples == 'all' else ''}"


def _each(
    cells: Mapping[str, Mapping[str, Mapping[str, Any]]],
) -> Iterator[tuple[str, str, Mapping[str, Mapping[str, Any]]]]:
    """Yields the optimizers of a data set with each of their ways to take samples."""
    for optimizer, pair in cells.items():
        for samples in METHODS[optimizer].samples:
            yield optimizer, samples, pair


def tabulate(cells: Cells) -> list[Line]:
    """Returns the lines of the table."""
    lines = []
    for data_set, of_set in cells.items():
        for optimizer, samples, pair in _each(of_set):
            runs = {
                name: [run for run in cell["runs"] if run["samples"] == samples]
                for name, cell in pair.items()
            }
            best, theirs = (best_run(runs[name], samples) for name in ("ours", "keras"))
            arrived = best["arrived"] if best else None
            rows = 1 if samples == "all" else pair["ours"]["rows"]
            each = float(np.median([run["microseconds"] for run in runs["ours"]]))
            lines.append(
                Line(
                    data_set,
                    _label(optimizer, samples),
                    best["learning_rate"] if best else None,
                    arrived,
                    arrived / rows if arrived else None,
                    arrived * each / 1000 if arrived else None,
                    best["distance"][-1] if best else None,
                    sum(run["diverged"] for run in runs["ours"]),
                    theirs["arrived"] if theirs else None,
                    difference(runs["ours"], runs["keras"]),
                )
            )
    return lines


def winners(lines: Sequence[Line]) -> list[dict[str, str]]:
    """Names each data set's first optimizer to arrive, by updates, epochs and time."""
    rows = []
    for data_set in dict.fromkeys(line.data_set for line in lines):
        of_set = [line for line in lines if line.data_set == data_set]
        arrived = [line for line in of_set if line.updates]
        row = {"data_set": data_set}
        for key in ("updates", "epochs", "milliseconds"):
            first = min(arrived, key=lambda line: getattr(line, key), default=None)
            row[key] = first.optimizer if first else "nobody"
        rows.append(row)
    return rows


def plot_losses(cells: Cells) -> Figure:
    """Plots the loss at each optimizer's best rate against updates, epochs and time."""
    figure = Figure(figsize=(10, 2.6 * len(cells) + 0.6), layout="constrained")
    grid = figure.subplots(len(cells), 3, squeeze=False, sharey="row")
    for row, (data_set, of_set) in zip(grid, cells.items(), strict=True):
        for optimizer, samples, pair in _each(of_set):
            cell = pair["ours"]
            run = best_run(cell["runs"], samples)
            if run is None:
                continue
            updates = np.array(run["updates"], float)
            loss = np.array(run["loss"], float) - cell["least_loss"]
            epochs = updates if samples == "all" else updates / cell["rows"]
            scales = (updates, epochs, updates * run["microseconds"] / 1000)
            for axes, scale in zip(row, scales, strict=True):
                look = {"ls": STYLES[samples], "color": COLORS[optimizer]}
                before = updates <= (run["arrived"] or np.inf)
                axes.loglog(scale[before], loss[before], lw=1.4, **look)
                # Thin, not to hide the rest: after arriving, a constant rate jitters.
                axes.loglog(scale[~before], loss[~before], lw=0.6, **look)
        for axes in row:
            axes.grid(alpha=0.3)
            axes.set_ylim(bottom=1e-9)
        row[0].set_ylabel(f"{data_set.replace('_', ' ')}\nloss above the least")
    for axes, label in zip(
        grid[-1], ("updates", "epochs", "milliseconds"), strict=True
    ):
        axes.set_xlabel(label)
    _legend(figure)
    return figure


def plot_sensitivity(cells: Cells) -> Figure:
    """Plots how many updates each optimizer needs at each learning rate."""
    figure = Figure(figsize=(10, 2.3 * len(cells) + 0.6), layout="constrained")
    grid = figure.subplots(len(cells), 2, squeeze=False, sharex=True, sharey="row")
    for row, (data_set, of_set) in zip(grid, cells.items(), strict=True):
        limit = max(
            run["updates"][-1]
            for pair in of_set.values()
            for run in pair["ours"]["runs"]
        )
        # Two bands above the curves, in which each optimizer has its own height.
        heights = dict(zip(METHODS, np.geomspace(1, 2.2, len(METHODS)), strict=True))
        never, lost = 1.8 * limit, 7 * limit
        for optimizer, samples, pair in _each(of_set):
            axes = row[0 if samples == "all" else 1]
            runs = [r for r in pair["ours"]["runs"] if r["samples"] == samples]
            rates = [run["learning_rate"] for run in runs]
            reached = [run["arrived"] or np.nan for run in runs]
            color, height = COLORS[optimizer], heights[optimizer]
            axes.loglog(
                rates, reached, STYLES[samples], marker=".", color=color, lw=1.3
            )
            for run, rate in zip(runs, rates, strict=True):
                if run["diverged"]:
                    axes.plot(rate, lost * height, "x", ms=4, color=color)
                elif not run["arrived"]:
                    axes.plot(rate, never * height, "o", ms=4, mfc="none", color=color)
        for axes, samples in zip(row, ("all samples", "one sample"), strict=True):
            axes.axhline(limit * 1.3, color="0.8", lw=0.8)
            axes.grid(alpha=0.3)
            axes.set_title(f"{data_set.replace('_', ' ')}, {samples}", size=9)
        row[0].set_ylabel(f"updates to {100 * SHARE:g} %")
    for axes in grid[-1]:
        axes.set_xlabel("learning rate")
    more = [
        Line2D([], [], ls="", marker="o", mfc="none", color="0.4", label="never there"),
        Line2D([], [], ls="", marker="x", color="0.4", label="diverges"),
    ]
    _legend(figure, more)
    return figure


def plot_paths(valley: Valley) -> Figure:
    """Plots the optimizers' paths over the contour lines of two parameters."""
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    everywhere = np.concatenate([*valley.paths.values(), valley.exact[None]])
    low, high = everywhere.min(0) - 0.3, everywhere.max(0) + 0.3
    x, y = np.meshgrid(
        *(np.linspace(a, b, 200) for a, b in zip(low, high, strict=True))
    )
    away = np.stack([x, y], -1) - valley.exact
    height = 0.5 * np.einsum("...i,ij,...j", away, valley.hessian, away)
    axes.contour(x, y, height, levels=np.geomspace(0.002, 20, 14), colors="0.85")
    for name, path in valley.paths.items():
        axes.plot(*path.T, ".-", ms=4, lw=1, color=COLORS[name], label=NAMES[name])
    axes.plot(*valley.exact, "k*", ms=10, label="exact solution")
    axes.set(xlabel="first weight", ylabel="second weight")
    axes.legend(frameon=False)
    return figure


def _legend(figure: Figure, more: Sequence[Line2D] = ()) -> None:
    """Adds a legend of colours and styles above all panels."""
    lines = [
        Line2D([], [], color=COLORS[name], label=label) for name, label in NAMES.items()
    ]
    lines += [
        Line2D([], [], color="0.4", ls=style, label=f"gradient of {samples}")
        for samples, style in STYLES.items()
    ]
    figure.legend(
        handles=[*lines, *more], loc="outside upper center", ncols=4, frameon=False
    )


def to_svg(figure: Figure) -> bytes:
    """Draws a figure as SVG."""
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()

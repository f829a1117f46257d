"""The score report: tables and plots in one HTML file that needs nothing else."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
from matplotlib.figure import Figure

from shears.figures import to_svg
from shears.files import read_json, verify, write_bytes


class Candidate(NamedTuple):
    """What is known of a candidate: two scores, metrics and the history's rows."""

    name: str
    validation: Mapping[str, float]
    test: Mapping[str, float]
    metrics: Mapping
    history: Sequence[Mapping[str, float]]


def _embed(svg: bytes) -> str:
    """Turns an SVG into an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _embed_file(path: str | Path) -> str:
    """Turns an SVG file into an address that holds it."""
    verify(path)
    return _embed(Path(path).read_bytes())


def plot_scores(candidates: Sequence[Candidate], chosen: str) -> Figure:
    """Plots score and accuracy of every candidate against its sparsity."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    # High sparsities lie close together: share out the axis by the log of the density.
    density = [max(1 - c.test["sparsity"], 1e-6) for c in candidates]
    for key, marker in (("score", "o"), ("accuracy", "s")):
        for split, style in (("validation", "--"), ("test", "-")):
            values = [getattr(c, split)[key] for c in candidates]
            color = "tab:blue" if key == "score" else "tab:orange"
            label = f"{key}, {split}"
            axes.plot(
                density, values, style, marker=marker, ms=4, color=color, label=label
            )
    best = next(c for c in candidates if c.name == chosen)
    axes.plot(
        max(1 - best.test["sparsity"], 1e-6),
        best.test["score"],
        "o",
        ms=13,
        mfc="none",
        mec="tab:green",
        mew=2,
        label="chosen",
    )
    axes.set(xlabel="sparsity (share of zeros)", ylabel="score, accuracy")
    axes.set_xscale("log")
    axes.invert_xaxis()
    ticks = [f"{round(100 * c.test['sparsity'], 2):g} %" for c in candidates]
    axes.set_xticks(density, ticks)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return figure


def plot_histories(candidates: Sequence[Candidate]) -> Figure:
    """Plots loss, accuracy and sparsity over all epochs, stage after stage."""
    figure = Figure(figsize=(7, 6), layout="constrained")
    top, middle, bottom = figure.subplots(3, sharex=True)
    start = 0
    for candidate in candidates:
        epochs = [start + row["epoch"] for row in candidate.history]
        for axes, keys in (
            (top, ("loss", "validation_loss")),
            (middle, ("accuracy", "validation_accuracy")),
            (bottom, ("sparsity",)),
        ):
            for key in keys:
                axes.plot(
                    epochs,
                    [row[key] for row in candidate.history],
                    color="tab:orange" if key.startswith("validation") else "tab:blue",
                    marker="." if len(epochs) == 1 else None,
                    label="_" if start else key.replace("_", " "),
                )
            if start:
                axes.axvline(start + 0.5, color="0.8", zorder=0)
        name = candidate.name.replace("_", " ")
        top.annotate(
            name, (start + 1, 1.02), xycoords=("data", "axes fraction"), size=8
        )
        start += len(epochs)
    top.set_ylabel("loss")
    middle.set_ylabel("accuracy")
    bottom.set(ylabel="sparsity", xlabel="epoch")
    for axes in (top, middle):
        axes.legend(frameon=False)
    for axes in (top, middle, bottom):
        axes.grid(alpha=0.3)
    return figure


def write_report(
    candidates: Sequence[Candidate],
    choice: Mapping,
    *,
    manifest: str | Path,
    study: Mapping[str, str | Path],
    template: str | Path,
    report: str | Path,
) -> None:
    """Renders the report.

    Args:
        candidates: In the order of the workflow, baseline first.
        choice: What `shears.selection.choose` said.
        manifest: The submission's manifest.
        study: Part A's files: "table", "losses", "sensitivity", "paths"; empty where
            Part A is left out.
        template: Jinja2 template.
        report: HTML file to write.
    """
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.from_string(Path(template).read_text()).render(
        candidates=candidates,
        choice=choice,
        manifest=read_json(manifest),
        scores_plot=_embed(to_svg(plot_scores(candidates, choice["candidate"]))),
        histories_plot=_embed(to_svg(plot_histories(candidates))),
        study=study and read_json(study["table"]),
        study_plots={
            name: _embed_file(path) for name, path in study.items() if name != "table"
        },
    )
    write_bytes(report, page.encode())

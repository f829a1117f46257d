"""The score report: tables and plots in one HTML file that needs nothing else."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from shears.figures import to_svg
from shears.files import read_json, verify, write_bytes


class Candidate(NamedTuple):
    """What is known of a candidate: two scores, metrics and the history's rows.

    Its name is its folder: `baseline/seed_0` or `method/seed_0/round_1`.
    """

    name: str
    validation: Mapping[str, float]
    test: Mapping[str, float]
    metrics: Mapping
    history: Sequence[Mapping[str, float]]

    @property
    def title(self) -> str:
        """The name, to be read."""
        return title(self.name)

    @property
    def chain(self) -> str:
        """What it is one of: a method and a seed, or a baseline and a seed."""
        return "/".join(self.name.split("/")[:2])


def title(name: str) -> str:
    """Writes a candidate's name to be read: "lamp, seed 0, round 1"."""
    return name.replace("/", ", ").replace("_", " ")


def _embed(svg: bytes) -> str:
    """Turns an SVG into an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode()


def _embed_file(path: str | Path) -> str:
    """Turns an SVG file into an address that holds it."""
    verify(path)
    return _embed(Path(path).read_bytes())


def over_seeds(candidates: Sequence[Candidate]) -> dict[str, list[list[Candidate]]]:
    """Groups candidates: by method or baseline, in it by round, in that the seeds."""
    groups: dict[str, dict[str, list[Candidate]]] = {}
    for candidate in candidates:
        kind, _, *number = candidate.name.split("/")
        groups.setdefault(kind, {}).setdefault("".join(number), []).append(candidate)
    return {kind: list(rounds.values()) for kind, rounds in groups.items()}


def plot_scores(
    candidates: Sequence[Candidate],
    chosen: str | None = None,
    keys: Sequence[str] = ("score", "accuracy"),
) -> Figure:
    """Plots test score and accuracy against sparsity, a line for each method.

    Means over seeds; where there are several, bars of one standard deviation.

    Args:
        candidates: In the order of the legend.
        chosen: Name of the one that is marked.
        keys: Which of the two are drawn.
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    sparsities = {}
    for i, (kind, rounds) in enumerate(over_seeds(candidates).items()):
        # High sparsities lie close together: share out the axis by the log of density.
        density = [max(1 - same[0].test["sparsity"], 1e-6) for same in rounds]
        sparsities |= dict(zip(density, (same[0].test for same in rounds), strict=True))
        for key, style, marker in zip(keys, ("-", ":"), ("o", "s"), strict=False):
            values = [[c.test[key] for c in same] for same in rounds]
            axes.errorbar(
                density,
                [np.mean(group) for group in values],
                [np.std(group, ddof=1) if len(group) > 1 else 0 for group in values],
                linestyle=style,
                marker=marker,
                ms=4,
                color=colormaps["tab20"](2 * i % 20 + i // 10 % 2),
                label=f"{kind.replace('_', ' ')}, {key}",
            )
    if chosen is not None:
        best = next(c for c in candidates if c.name == chosen)
        axes.plot(
            max(1 - best.test["sparsity"], 1e-6),
            best.test["score"],
            "o",
            ms=13,
            mfc="none",
            mec="black",
            mew=1.5,
            label="chosen",
        )
    axes.set(
        xlabel="sparsity (share of zeros)",
        ylabel=", ".join(f"test {key}" for key in keys),
    )
    axes.set_xscale("log")
    axes.invert_xaxis()
    ticks = [f"{round(100 * test['sparsity'], 2):g} %" for test in sparsities.values()]
    axes.set_xticks(list(sparsities), ticks)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize="small")
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
        kind, _, *number = candidate.name.split("/")
        top.annotate(
            title("".join(number) or kind),
            (start + 1, 1.02),
            xycoords=("data", "axes fraction"),
            size=8,
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
    baselines: Mapping[str, str],
    manifest: str | Path,
    study: Mapping[str, str | Path],
    template: str | Path,
    report: str | Path,
) -> None:
    """Renders the report.

    Args:
        candidates: In the order of the workflow, baselines first.
        choice: What `shears.selection.choose` said.
        baselines: For each method and seed ("lamp/seed_0") the baseline it prunes.
        manifest: The submission's manifest.
        study: Part A's files: "table", "losses", "sensitivity", "paths"; empty where
            Part A is left out.
        template: Jinja2 template.
        report: HTML file to write.
    """
    chain = choice["candidate"].rsplit("/round_", 1)[0]
    shown = [c for c in candidates if c.chain in (chain, baselines.get(chain))]
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.from_string(Path(template).read_text()).render(
        candidates=candidates,
        choice=choice,
        title=title,
        manifest=read_json(manifest),
        scores_plot=_embed(to_svg(plot_scores(candidates, choice["candidate"]))),
        histories_plot=_embed(to_svg(plot_histories(shown))),
        study=study and read_json(study["table"]),
        study_plots={
            name: _embed_file(path) for name, path in study.items() if name != "table"
        },
    )
    write_bytes(report, page.encode())

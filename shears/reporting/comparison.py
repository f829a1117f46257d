"""The page that shows two or more runs beside each other."""

import importlib.resources
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import altair as alt

from shears.evaluation.analysis import frontier
from shears.reporting import charts
from shears.reporting.candidates import history_rows, score_rows
from shears.reporting.differences import compare_runs, differing_settings
from shears.reporting.page import render_page
from shears.reporting.runs import Run, chain_of
from shears.runtime.files import whole_file


def _draw_frontiers(runs: Sequence[Run]) -> charts.Chart:
    """Draws the candidates of all runs, and each run's frontier."""
    rows: list[dict[str, Any]] = []
    frontiers: dict[str, list[int]] = {"test": [], "validation": []}
    for run in runs:
        name = run.chosen.name if run.chosen else ""
        own = [
            {
                **row,
                "title": f"{run.name}: {row['title']}",
                "method": run.name,
                "run": run.name,
            }
            for row in score_rows(run.candidates, name)
        ]
        for split, best in frontiers.items():
            points = [(row["sparsity"], row[split]) for row in own]
            best += [len(rows) + i for i in frontier(points)]
        rows += own
    return charts.draw_plane(rows, frontiers)


def _curve_rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Joins the histories of the stages that led to each run's chosen candidate."""
    rows: list[dict[str, Any]] = []
    for run in runs:
        if not run.chosen:
            continue
        names = chain_of(run.results, run.chosen.name)
        known = {candidate.name: candidate for candidate in run.candidates}
        history, _ = history_rows([known[name] for name in names if name in known])
        rows += [{**row, "run": run.name} for row in history]
    return rows


def draw_curves(rows: charts.Rows, names: Sequence[str]) -> charts.Chart:
    """Draws accuracy, loss and sparsity over the epochs, a line for each run.

    Args:
        rows: run, stage, epoch (over all stages) and the columns of a history.
        names: The runs, in the order of their colours.
    """
    colours = [charts.COLOURS[i % len(charts.COLOURS)] for i in range(len(names))]
    parts = []
    for title, key in (
        ("validation accuracy", "validation_accuracy"),
        ("validation loss", "validation_loss"),
        ("sparsity", "sparsity"),
    ):
        line = charts.make_chart(rows, f"{title} over the epochs, by run")
        line = line.mark_line(strokeWidth=1.5, point={"size": 40, "opacity": 0})
        line = line.encode(
            x=alt.X("epoch:Q", title="epoch", scale=alt.Scale(nice=False)),
            y=alt.Y(f"{key}:Q", title=title, scale=alt.Scale(zero=False)),
            color=alt.Color(
                "run:N",
                scale=alt.Scale(domain=list(names), range=colours),
                legend=charts.LEGEND,
            ),
            detail="stage:N",
            tooltip=[
                alt.Tooltip("run:N"),
                alt.Tooltip("stage:N"),
                alt.Tooltip("epoch:Q"),
                alt.Tooltip(f"{key}:Q", title=title, format=".4f"),
            ],
        )
        parts.append(line.properties(height=200))
    return charts.Chart(
        "curves",
        "Learning curves",
        "The stages that led to each run's chosen candidate, one after the other.",
        parts,
    )


def _show(value: object) -> str:
    """Writes a setting for readers."""
    return "" if value is None else json.dumps(value, ensure_ascii=False)


def write_comparison(runs: Sequence[Run], path: str | Path) -> None:
    """Writes the page.

    Args:
        runs: Two or more; the others are compared with the first.
        path: The HTML file to write.

    Raises:
        UserError: A file of a run is damaged.
        OSError: The page cannot be written.
    """
    rows = _curve_rows(runs)
    panels = [_draw_frontiers(runs)]
    if rows:
        panels.append(draw_curves(rows, [run.name for run in runs]))
    first, *others = runs
    template = importlib.resources.files(__package__) / "comparison.html.j2"
    page = render_page(
        template.read_text(encoding="utf-8"),
        runs=runs,
        charts={chart.name: chart for chart in panels},
        specs={chart.name: charts.page_specs(chart) for chart in panels},
        comparisons=[(other, list(compare_runs(first, other))) for other in others],
        known=[run for run in runs if run.config is not None],
        settings=[
            (key, list(map(_show, values)))
            for key, values in differing_settings(list(runs))
        ],
    )
    with whole_file(path) as file:
        file.write(page)

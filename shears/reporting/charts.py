"""Charts of candidates and training, drawn by Vega-Lite from rows of plain numbers.

On the page they are interactive and follow its colour scheme (report/report.html.j2);
as files they are light. Colours are those of Okabe and Ito (2008), which colour-blind
people can tell apart; amounts use viridis and cividis.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import altair as alt
import vl_convert

from shears.runtime.files import whole_file

COLOURS = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C8C8C"]
BEFORE, AFTER = COLOURS[0], COLOURS[5]
GREY = "#8C8C8C"  # readable on white and on black
WIDTH = 640  # pixels of a chart in a file; on the page it fills the width
LEGEND = alt.Legend(title=None, orient="bottom", columns=4, symbolLimit=0)  # of methods
Rows = Sequence[Mapping[str, Any]]


class Chart(NamedTuple):
    """A chart, or several of the same width, one below the other.

    Attributes:
        name: The name of its files.
        title: What it shows.
        text: A description, also for readers who cannot see it.
        parts: Vega-Lite charts, without a width.
    """

    name: str
    title: str
    text: str
    parts: Sequence[alt.Chart | alt.LayerChart | alt.FacetChart]


def make_chart(rows: Rows, text: str = "") -> alt.Chart:
    """Makes a chart of rows, without marks yet."""
    return alt.Chart(alt.InlineData(values=list(rows)), description=text)


def share_axis(title: str, **options: Any) -> alt.Axis:
    """Makes an axis of percentages."""
    return alt.Axis(title=title, format="~%", tickCount=8, **options)


def _sparsities(densities: Sequence[float]) -> alt.X:
    """Makes a sparsity axis that spreads out high sparsities."""
    values = sorted(set(densities))
    return alt.X(
        "density:Q",
        scale=alt.Scale(
            type="log", reverse=True, domain=[values[0] * 0.9, values[-1] * 1.1]
        ),
        axis=alt.Axis(
            title="sparsity (logarithm of density)",
            values=values,
            labelExpr="format(100 * (1 - datum.value), '.5~r') + ' %'",
            labelOverlap=True,
            grid=True,
        ),
    )


def _methods(rows: Rows) -> dict[str, Any]:
    """Gives each method a colour and a shape, in the order of the rows."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(names))]
    shapes = "circle square triangle-up diamond cross triangle-down stroke".split()
    shapes = [shapes[i // len(COLOURS) % len(shapes)] for i in range(len(names))]
    return {
        "color": alt.Color(
            "method:N", scale=alt.Scale(domain=names, range=colours), legend=LEGEND
        ),
        "shape": alt.Shape(
            "method:N", scale=alt.Scale(domain=names, range=shapes), legend=LEGEND
        ),
    }


def _dashes(rows: Rows) -> alt.StrokeDash:
    """Gives each method a dash pattern, so that methods of one colour differ."""
    names = list(dict.fromkeys(row["method"] for row in rows))
    kinds = [[1, 0], [6, 3], [2, 2]]
    dashes = [kinds[i // len(COLOURS) % len(kinds)] for i in range(len(names))]
    scale = alt.Scale(domain=names, range=dashes)
    return alt.StrokeDash("method:N", scale=scale, legend=LEGEND)


def draw_means(rows: Rows, key: str, name: str, left_out: int = 0) -> Chart:
    """Draws a mean over seeds against sparsity, a line for each method.

    Args:
        rows: method, sparsity, mean, std (0 where there is one seed), n.
        key: What is averaged, such as "test score".
        name: The name of its files.
        left_out: How many candidates are not in the rows because their value is 0.
    """
    rows = [
        {
            **row,
            "density": max(1 - row["sparsity"], 1e-6),
            "low": row["mean"] - row["std"],
            "high": row["mean"] + row["std"],
        }
        for row in rows
    ]
    x = _sparsities([row["density"] for row in rows])
    y = alt.Y("mean:Q", title=key, scale=alt.Scale(zero=False))
    methods = _methods(rows)
    tooltip = [
        alt.Tooltip("method:N"),
        alt.Tooltip("sparsity:Q", format=".4f"),
        alt.Tooltip("mean:Q", title=key, format=".4f"),
        alt.Tooltip("std:Q", format=".4f"),
        alt.Tooltip("n:Q", title="seeds"),
    ]
    base = make_chart(rows, f"{key} against sparsity, by method")
    line = base.mark_line(strokeWidth=1.5).encode(
        x=x, y=y, color=methods["color"], strokeDash=_dashes(rows)
    )
    bars = base.mark_rule().encode(
        x=x, y=alt.Y("low:Q", title=key), y2="high:Q", color=methods["color"]
    )
    points = base.mark_point(filled=True, size=60, opacity=1).encode(
        x=x, y=y, tooltip=tooltip, **methods
    )
    best = max(rows, key=lambda row: row["mean"])
    return Chart(
        name,
        f"{key[0].upper()}{key[1:]} against sparsity",
        f"The highest {key} is {best['mean']:.4f}, by {best['method']} at a sparsity "
        f"of {best['sparsity']:.4f}."
        + (f" Not shown: {left_out} candidates whose {key} is 0." if left_out else ""),
        [(line + bars + points).properties(height=320)],
    )


def candidate_marks(
    base: alt.Chart, rows: Rows, x: alt.X, y: alt.Y, shown: Mapping[str, str]
) -> alt.LayerChart:
    """Marks each candidate, and the chosen one, if there is one, with a ring.

    Args:
        base: The chart of the candidates; ``chosen`` is a field of its rows.
        rows: What gives each method its colour and shape.
        x: The position across.
        y: The position up.
        shown: The number fields that the tooltip shows, and their titles.
    """
    tooltip = [alt.Tooltip("title:N", title="candidate")]
    tooltip += [
        alt.Tooltip(f"{field}:Q", title=title, format=".4f")
        for field, title in shown.items()
    ]
    marks = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=x, y=y, tooltip=tooltip, **_methods(rows)
    )
    if not any(row["chosen"] for row in rows):
        return alt.LayerChart(layer=[marks])
    ring = base.transform_filter(alt.datum.chosen)
    ring = ring.mark_point(size=260, strokeWidth=2, color=GREY)
    return ring.encode(x=x, y=y) + marks


def draw_equal_scores(
    across: alt.Scale, up: alt.Scale, least: float = 0.0
) -> alt.LayerChart:
    """Draws lines of equal score (slope -1) with their scores.

    Args:
        across: The scale of the sparsities; its domain is set.
        up: The scale of the accuracies; its domain is set.
        least: The lines end at this accuracy.
    """
    (low, high), (bottom, top) = across.domain, up.domain
    bottom = max(bottom, least)
    # About six lines at most: on a phone, more labels would overlap.
    span = (high - low + top - bottom) / 2
    step = next((s for s in (0.002, 0.005, 0.01, 0.02, 0.05) if span / s <= 6), 0.1)
    first, last = int((low + bottom) / 2 / step), int((high + top) / 2 / step) + 1
    lines = []
    for i in range(first, last + 1):
        score = i * step
        left = max(low, 2 * score - top)
        right = min(high, 2 * score - bottom)
        if left < right:
            lines.append(
                {
                    "score": f"{score:.3f}",
                    "x": left,
                    "y": 2 * score - left,
                    "x2": right,
                    "y2": 2 * score - right,
                }
            )
    equal = make_chart(lines).mark_rule(color=GREY, strokeDash=[3, 3], opacity=0.7)
    equal = equal.encode(
        x=alt.X("x:Q", scale=across), x2="x2", y=alt.Y("y:Q", scale=up), y2="y2"
    )
    labels = make_chart(lines).mark_text(color=GREY, align="left", dx=3, dy=-4, size=10)
    return equal + labels.encode(x="x:Q", y="y:Q", text="score:N")


def draw_plane(rows: Rows, frontiers: Mapping[str, Sequence[int]]) -> Chart:
    """Draws accuracy against sparsity, with lines of equal score (slope -1).

    Args:
        rows: One per candidate: title, method, sparsity, chosen, accuracy and score as
            validation, test, validation_score, test_score; run if there are several.
        frontiers: Indices of the rows on the frontier, for "test" and "validation".
    """
    best = max(row["test_score"] for row in rows)
    # Rows far from the best would squash all others into a corner.
    near = [
        row
        for row in rows
        if max(row["test_score"], row["validation_score"]) > best - 0.06
    ]
    splits = ("test", "validation")
    points = [
        {
            "split": split,
            "accuracy": row[split],
            "score": row[f"{split}_score"],
            **{key: row[key] for key in ("title", "method", "sparsity", "chosen")},
            "run": row.get("run", ""),
            "frontier": i in frontiers[split],
        }
        for i, row in enumerate(rows)
        if row in near
        for split in splits
    ]
    low, high = (f(p["sparsity"] for p in points) for f in (min, max))
    low, high = max(low - 0.02 * (1 - low) - 0.001, 0.0), min(high + 0.002, 1.0)
    bottom, top = (f(p["accuracy"] for p in points) for f in (min, max))
    bottom, top = bottom - 0.01, min(top + 0.01, 1.0)
    across = alt.Scale(domain=[low, high], nice=False)
    up = alt.Scale(domain=[bottom, top], nice=False)
    x = alt.X("sparsity:Q", scale=across, axis=share_axis("sparsity", grid=False))
    y = alt.Y("accuracy:Q", scale=up, axis=share_axis("accuracy", grid=False))
    split = alt.param(
        name="split",
        value="test",
        bind=alt.binding_radio(options=list(splits), name="Accuracy on "),
    )
    equal = draw_equal_scores(across, up)
    base = make_chart(points, "accuracy against sparsity").transform_filter(
        "datum.split == split"
    )
    rim = (
        base.transform_filter(alt.datum.frontier)
        .mark_line(color=GREY, strokeWidth=1.5)
        .encode(x=x, y=y, detail="run:N")
    )
    shown = {"sparsity": "sparsity", "accuracy": "accuracy", "score": "score"}
    marks = candidate_marks(base, rows, x, y, shown)
    return Chart(
        "frontier",
        "Accuracy against sparsity: the frontier",
        f"{len(near)} of {len(rows)} candidates: those within 0.06 of the best score. "
        "Dashed lines join equal scores. The solid line joins candidates that no other "
        "of the run beats in both accuracy and sparsity. A ring marks the chosen one.",
        [(equal + rim + marks).add_params(split).properties(height=340)],
    )


def draw_choice(rows: Rows) -> Chart:
    """Draws test score against validation score; rows as for `draw_plane`."""
    best = max(row["test_score"] for row in rows)
    near = [row for row in rows if row["test_score"] > best - 0.06]
    scores = [row[f"{split}_score"] for row in near for split in ("validation", "test")]
    ends = [min(scores) - 0.002, max(scores) + 0.002]
    scale = alt.Scale(domain=ends, nice=False)
    diagonal = make_chart([{"at": end} for end in ends])
    diagonal = diagonal.mark_line(color=GREY, strokeDash=[3, 3]).encode(
        x=alt.X("at:Q", scale=scale), y=alt.Y("at:Q", scale=scale)
    )
    base = make_chart(near, "test score against validation score")
    x = alt.X("validation_score:Q", title="validation score", scale=scale)
    y = alt.Y("test_score:Q", title="test score", scale=scale)
    shown = {"validation_score": "validation score", "test_score": "test score"}
    marks = candidate_marks(base, near, x, y, shown)
    return Chart(
        "choice",
        "Test score against validation score",
        "Candidates near the dashed diagonal score about the same on both sets. A ring "
        "marks the chosen one.",
        [(diagonal + marks).properties(height=300)],
    )


def draw_histories(rows: Rows, cuts: Rows, note: str = "") -> Chart:
    """Draws loss, accuracy and sparsity over all epochs of a chain of stages.

    Args:
        rows: stage, epoch (counted over all stages), loss, validation_loss, accuracy,
            validation_accuracy, sparsity.
        cuts: Where each stage begins: stage, start, cut_end (the last epoch in which
            its sparsity rose, or start if it never did).
        note: A sentence about a stage that has no epochs.
    """
    parts = []
    for title, keys in (
        ("loss", ("loss", "validation_loss")),
        ("accuracy", ("accuracy", "validation_accuracy")),
        ("sparsity", ("sparsity",)),
    ):
        long = [
            {
                "stage": row["stage"],
                "epoch": row["epoch"],
                "value": row[key],
                "of": "validation" if key.startswith("validation") else "training",
            }
            for row in rows
            for key in keys
            if not math.isnan(row[key])  # a refit has no validation images
        ]
        colour = alt.Color(
            "of:N",
            scale=alt.Scale(
                domain=["training", "validation"], range=[COLOURS[0], COLOURS[5]]
            ),
            legend=alt.Legend(title=None, orient="top") if len(keys) > 1 else None,
        )
        x = alt.X(
            "epoch:Q",
            title="epoch" if title == "sparsity" else None,
            scale=alt.Scale(domain=[0, rows[-1]["epoch"]], nice=False),
        )
        line = make_chart(long, f"{title} over the epochs").mark_line(
            strokeWidth=1.5, point={"size": 40, "opacity": 0}
        )
        line = line.encode(
            x=x,
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=title == "sparsity")),
            color=colour,
            detail=["of:N", "stage:N"],
            tooltip=[
                alt.Tooltip("stage:N"),
                alt.Tooltip("epoch:Q"),
                alt.Tooltip("of:N"),
                alt.Tooltip("value:Q", title=title, format=".4f"),
            ],
        )
        band = make_chart([c for c in cuts if c["cut_end"] > c["start"]])
        band = band.mark_rect(color=GREY, opacity=0.15).encode(
            x=alt.X("start:Q"), x2="cut_end"
        )
        rule = make_chart(cuts).mark_rule(color=GREY).encode(x="start:Q")
        layers = [band, rule, line]
        if title == "loss":
            names = make_chart(cuts).mark_text(
                color=GREY, align="left", dx=4, y=8, size=10
            )
            layers.append(names.encode(x="start:Q", text="stage:N"))
        height = 130 if title == "sparsity" else 190
        parts.append(alt.layer(*layers).properties(height=height))
    return Chart(
        "histories",
        "Learning curves",
        "Loss, accuracy and sparsity over the epochs of the chosen candidate and the "
        "stages before it. A line marks where each stage begins; grey marks the epochs "
        f"in which sparsity rises. {note}".rstrip(),
        parts,
    )


def page_specs(chart: Chart) -> list[dict[str, Any]]:
    """Writes a chart's parts as Vega-Lite JSON that fills the available width."""
    return [part.properties(width="container").to_dict() for part in chart.parts]


def save_chart(chart: Chart, *paths: str | Path) -> None:
    """Writes a chart to files: ``.svg``, or ``.png`` at twice the size."""
    whole = alt.vconcat(*(part.properties(width=WIDTH) for part in chart.parts))
    whole = whole.resolve_scale(color="independent", shape="independent")
    spec = whole.configure(background="white").to_dict()
    for path in paths:
        with whole_file(path) as file:
            if Path(path).suffix == ".svg":
                file.write(vl_convert.vegalite_to_svg(spec).encode())
            else:
                file.write(vl_convert.vegalite_to_png(spec, scale=2))

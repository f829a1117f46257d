"""Charts of the network: its kernels, units and errors, before and after pruning."""

from collections.abc import Sequence

import altair as alt

from shears.reporting.charts import (
    AFTER,
    BEFORE,
    COLOURS,
    GREY,
    Chart,
    Rows,
    make_chart,
    share_axis,
)


def draw_densities(rows: Rows) -> Chart:
    """Draws each kernel's density over the rounds: rows layer, stage, density."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    base = make_chart(rows, "density by layer and stage").encode(
        x=alt.X("stage:N", sort=stages, title=None, axis=alt.Axis(labelAngle=0)),
        y=alt.Y("layer:N", sort=layers, title=None),
    )
    least = min((row["density"] for row in rows if row["density"] > 0), default=1)
    cells = base.mark_rect().encode(
        color=alt.Color(
            "density:Q",
            scale=alt.Scale(
                type="log", scheme="viridis", domain=[least, 1], clamp=True
            ),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("stage:N"),
            alt.Tooltip("layer:N"),
            alt.Tooltip("density:Q", format=".5f"),
        ],
    )
    text = base.mark_text(size=11).encode(
        text=alt.Text("density:Q", format=".2~p"),
        color=alt.condition(
            alt.datum.density > least**0.4, alt.value("black"), alt.value("white")
        ),
    )
    return Chart(
        "densities",
        "Density of each kernel",
        "Rows are layers; columns are the stages that led to the chosen candidate.",
        [(cells + text).properties(height=30 * len(layers))],
    )


def draw_values(rows: Rows) -> Chart:
    """Draws histograms of nonzero weights: rows layer, stage, low, high, share."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    colour = alt.Color(
        "stage:N",
        scale=alt.Scale(domain=stages, range=[BEFORE, AFTER]),
        legend=alt.Legend(title=None, orient="top"),
    )
    parts = []
    for layer in dict.fromkeys(row["layer"] for row in rows):
        own = [row for row in rows if row["layer"] == layer]
        parts.append(
            make_chart(own, f"weights of {layer} by value")
            .mark_bar(opacity=0.6)
            .encode(
                x=alt.X("low:Q", bin="binned", title=f"{layer}: weight"),
                x2="high:Q",
                y=alt.Y(
                    "share:Q",
                    stack=None,
                    title="fraction of weights",
                    axis=alt.Axis(format="~%"),
                ),
                color=colour,
                tooltip=[
                    alt.Tooltip("stage:N"),
                    alt.Tooltip("low:Q", title="from", format=".3f"),
                    alt.Tooltip("high:Q", title="to", format=".3f"),
                    alt.Tooltip("share:Q", title="fraction", format=".2%"),
                ],
            )
            .properties(height=150)
        )
    return Chart(
        "weights",
        "Weights before and after pruning",
        f"Histograms of each kernel's nonzero weights, {' and '.join(stages)}: pruning "
        "removes the small ones, and training spreads the rest.",
        parts,
    )


def draw_units(rows: Rows) -> Chart:
    """Draws which units are dead: rows layer, stage, unit, dead."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    parts = []
    for layer in dict.fromkeys(row["layer"] for row in rows):
        own = [row for row in rows if row["layer"] == layer]
        parts.append(
            make_chart(own, f"units of {layer}, alive or dead")
            .mark_rect()
            .encode(
                x=alt.X(
                    "unit:O",
                    title=f"{layer}: unit",
                    axis=alt.Axis(labels=False, ticks=False, grid=False),
                ),
                y=alt.Y("stage:N", sort=stages, title=None),
                color=alt.Color(
                    "dead:N",
                    scale=alt.Scale(
                        domain=[False, True], range=[COLOURS[4], "#333333"]
                    ),
                    legend=None,
                ),
                tooltip=[
                    alt.Tooltip("stage:N"),
                    alt.Tooltip("unit:O"),
                    alt.Tooltip("dead:N"),
                ],
            )
            .properties(height=18 * len(stages))
        )
    last = [row for row in rows if row["stage"] == stages[-1]]
    dead: dict[str, int] = {}
    for row in last:
        dead[row["layer"]] = dead.get(row["layer"], 0) + row["dead"]
    counts = ", ".join(f"{n} in {layer}" for layer, n in dead.items())
    return Chart(
        "units",
        "Dead units",
        "A dead unit (dark) has no incoming or no outgoing weights. Dead units at the "
        f"end: {counts}.",
        parts,
    )


def draw_confusions(rows: Rows, classes: Sequence[str]) -> Chart:
    """Draws the confusion matrix: rows shown (the true class), predicted, images."""
    base = make_chart(rows, "confusion matrix").encode(
        x=alt.X(
            "predicted:N",
            sort=list(classes),
            title="predicted class",
            axis=alt.Axis(labelAngle=-45),
        ),
        y=alt.Y("shown:N", sort=list(classes), title="true class"),
    )
    wrong = [row["images"] for row in rows if row["shown"] != row["predicted"]]
    most = max(*wrong, 1)
    cells = base.mark_rect().encode(
        # Colours span the errors only: with the diagonal, errors would all look alike.
        color=alt.Color(
            "images:Q",
            scale=alt.Scale(scheme="cividis", domain=[0, most], clamp=True),
            legend=None,
        ),
        tooltip=[
            alt.Tooltip("shown:N", title="true class"),
            alt.Tooltip("predicted:N", title="predicted class"),
            alt.Tooltip("images:Q"),
        ],
    )
    text = base.mark_text(size=11).encode(
        text="images:Q",
        color=alt.condition(
            alt.datum.images > most * 0.55, alt.value("black"), alt.value("white")
        ),
    )
    worst = max(
        (row for row in rows if row["shown"] != row["predicted"]),
        key=lambda row: row["images"],
    )
    return Chart(
        "confusions",
        "Confusion matrix",
        f"The most frequent error: {worst['shown']} predicted as "
        f"{worst['predicted']} (test images: {worst['images']}).",
        [(cells + text).properties(height=340)],
    )


def draw_classes(rows: Rows) -> Chart:
    """Draws accuracy by class, dense against pruned: rows class, stage, accuracy."""
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    last = {row["class"]: row["accuracy"] for row in rows if row["stage"] == stages[-1]}
    order = sorted(last, key=lambda name: -last[name])
    base = make_chart(rows, "accuracy by class, dense and pruned")
    y = alt.Y("class:N", sort=order, title=None)
    line = base.mark_line(color=GREY).encode(x="accuracy:Q", y=y, detail="class:N")
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X("accuracy:Q", scale=alt.Scale(zero=False), axis=share_axis("accuracy")),
        y=y,
        color=alt.Color(
            "stage:N",
            scale=alt.Scale(domain=stages, range=[BEFORE, AFTER]),
            legend=alt.Legend(title=None, orient="top"),
        ),
        shape=alt.Shape(
            "stage:N", scale=alt.Scale(domain=stages, range=["circle", "square"])
        ),
        tooltip=[
            alt.Tooltip("class:N"),
            alt.Tooltip("stage:N"),
            alt.Tooltip("accuracy:Q", format=".4f"),
        ],
    )
    return Chart(
        "classes",
        "Accuracy by class",
        f"The pruned network is best on {order[0]} ({last[order[0]]:.1%}) and worst on "
        f"{order[-1]} ({last[order[-1]]:.1%}).",
        [(line + points).properties(height=26 * len(order))],
    )

"""The report's section about latency."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from shears.reporting.charts import Chart, Rows, candidate_marks, make_chart, share_axis


def latency_table(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Lists what was measured of each contender.

    Args:
        about: ``latency.json``.

    Returns:
        For each "network", "runtime", "bytes", "gzip_bytes", "memory", "single" (the
        timing of one image in one thread), "batches" (the images a second of the
        largest batch for each number of threads) and "share" (of the additions and
        multiplications that the processor could do at best in one thread; of C code,
        only what it does).
    """
    rows = []
    peak = about["peaks"][0]["flops"]
    for contender in about["contenders"]:
        own = [
            timing
            for timing in about["timings"]
            if (timing["network"], timing["runtime"])
            == (contender["network"], contender["runtime"])
        ]
        largest = [timing for timing in own if timing["batch"] == own[-1]["batch"]]
        in_c = contender["runtime"] == "C"
        network = about["networks"][contender["network"]]
        work = network["multiply_adds_in_c" if in_c else "multiply_adds"]
        rows.append(
            {
                **contender,
                "single": own[0],
                "batches": [timing["images_per_second"] for timing in largest],
                "share": 2 * work * largest[0]["images_per_second"] / peak,
            }
        )
    return rows


def draw_latency(about: Mapping[str, Any], names: Sequence[str], rows: Rows) -> Chart:
    """Draws accuracy against the latency of one image in one thread.

    Args:
        about: ``latency.json``.
        names: The candidates' names.
        rows: Their rows (`shears.reporting.candidates.score_rows`), in the same order.
    """
    measured = {row["name"]: row for row in about["candidates"]}
    points = [
        {
            **row,
            "latency": measured[name]["median"],
            "p95": measured[name]["p95"],
            "runtime": measured[name]["runtime"],
        }
        for name, row in zip(names, rows, strict=True)
        if name in measured
    ]
    runtimes = sorted({point["runtime"] for point in points})
    base = make_chart(points, "accuracy against latency")
    x = alt.X(
        "latency:Q",
        scale=alt.Scale(type="log", nice=False, padding=20),
        axis=alt.Axis(title="microseconds for an image (logarithmic)", format="~s"),
    )
    y = alt.Y("test:Q", scale=alt.Scale(zero=False), axis=share_axis("accuracy (test)"))
    shown = {"test": "accuracy", "sparsity": "sparsity", "latency": "microseconds"}
    marks = candidate_marks(base, points, x, y, shown)
    mixed = "C code is used where few weights are left. " if len(runtimes) > 1 else ""
    return Chart(
        "latency",
        "Accuracy against latency",
        f"One image at a time, in one thread: {' or '.join(runtimes)} on the compacted "
        f"network. {mixed}Each was timed alone, so numbers differ a little from those "
        "in the table. A ring marks the chosen candidate.",
        [marks.properties(height=300)],
    )

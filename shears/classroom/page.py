"""The leaderboard's page: one HTML file that opens from disk, without a network."""

import importlib.resources
import statistics
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import altair as alt

from shears.reporting.charts import (
    COLOURS,
    GREY,
    Chart,
    draw_equal_scores,
    make_chart,
    page_specs,
    share_axis,
)
from shears.reporting.page import render_page
from shears.runtime.files import write_bytes

Student = Mapping[str, Any]


def _seconds(time: str | None) -> int | None:
    """Converts an ISO time to seconds since 1970; one without a zone is UTC."""
    if time is None:
        return None
    moment = datetime.fromisoformat(time)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp())


def _short(share: float | None) -> float | None:
    """Rounds a share to what 10,000 images and 1,250,858 weights can tell apart."""
    return None if share is None else round(share, 7)


def _valid(text: str) -> str:
    """Replaces what UTF-8 cannot hold: halves of characters, as in names of files."""
    return text.encode("utf-8", "replace").decode()


def _rows(students: Sequence[Student]) -> dict[str, Any]:
    """Collects what the page's script reads.

    A hint is a number of a group: each list of names is on the page once, however many
    students share their weights.

    Returns:
        ``students`` in their order, and ``groups``, lists of names.
    """
    groups: dict[tuple[str, ...], int] = {}

    def group(name: str, others: Sequence[str]) -> int | None:
        if not others:
            return None
        names = tuple(sorted(map(_valid, [name, *others])))
        return groups.setdefault(names, len(groups))

    rows = [
        {
            "name": _valid(one["name"]),
            "rank": one["rank"],
            **{key: _short(one[key]) for key in ("score", "accuracy", "sparsity")},
            "time": _seconds(one["time"]),
            "refused": one["refused"] and _valid(one["refused"]),
            "file": one["file"] and _valid(one["file"]),
            "change": [
                _short(one["change"]["score"]),
                one["change"]["rank"],
                one["change"]["new"],
            ],
            "weights": group(one["name"], one["same_weights"]),
            "mask": group(one["name"], one["same_mask"]),
            "uploads": [
                [
                    _seconds(upload["time"]),
                    *(_short(upload[key]) for key in ("score", "accuracy", "sparsity")),
                    upload["refused"] and _valid(upload["refused"]),
                ]
                for upload in one["uploads"]
            ],
        }
        for one in students
    ]
    return {"students": rows, "groups": [list(names) for names in groups]}


def _domain(values: Sequence[float]) -> list[float]:
    """Widens a range of shares a little, within 0 and 1."""
    low, high = min(values), max(values)
    room = max(0.06 * (high - low), 0.025 - (high - low) / 2, 0.002)
    return [max(low - room, 0.0), min(high + room, 1.0)]


def draw_class(name: str, students: Sequence[Student], least: float) -> Chart:
    """Draws accuracy against sparsity, a point for each scored student.

    Args:
        name: "plane", which always shows `least`, or "near".
        students: Those who have a score, at least one. The page's script supplies the
            points, as the data set "class": name, rank, accuracy, sparsity, score.
        least: The score is 0 up to this accuracy.
    """
    sparsities = [one["sparsity"] for one in students]
    accuracies = [one["accuracy"] for one in students]
    across = alt.Scale(domain=_domain(sparsities), nice=False)
    some_fail = min(accuracies) <= least
    if name == "plane":
        accuracies.append(least)
    up = alt.Scale(domain=_domain(accuracies), nice=False)
    text = "accuracy against sparsity, a point for each student"
    base = alt.Chart(alt.NamedData("class"), description=text)
    kinds = ["has a score", "score 0"]
    base = base.transform_calculate(has=f"{kinds}[datum.score > 0 ? 0 : 1]")
    legend = alt.Legend(title=None, orient="bottom") if some_fail else None
    points = base.mark_point(filled=True, size=55, opacity=0.6, cursor="pointer")
    points = points.encode(
        x=alt.X("sparsity:Q", scale=across, axis=share_axis("sparsity", grid=False)),
        y=alt.Y("accuracy:Q", scale=up, axis=share_axis("accuracy", grid=False)),
        color=alt.Color(
            "has:N",
            scale=alt.Scale(domain=kinds, range=[COLOURS[0], COLOURS[5]]),
            legend=legend,
        ),
        shape=alt.Shape(
            "has:N", scale=alt.Scale(domain=kinds, range=["circle", "cross"])
        ),
        tooltip=[
            alt.Tooltip("name:N", title="student"),
            alt.Tooltip("rank:Q"),
            *(
                alt.Tooltip(f"{key}:Q", format=".4f")
                for key in ("score", "accuracy", "sparsity")
            ),
        ],
    )
    edges = [{"least": least, "low": across.domain[0]}]
    edge = make_chart(edges if up.domain[0] <= least <= up.domain[1] else [])
    rule = edge.mark_rule(color=COLOURS[5], strokeWidth=1.5)
    rule = rule.encode(y=alt.Y("least:Q", scale=up))
    label = edge.mark_text(color=GREY, align="left", dx=4, dy=10, size=11)
    label = label.encode(
        x=alt.X("low:Q", scale=across),
        y=alt.Y("least:Q", scale=up),
        text=alt.value(f"up to an accuracy of {least:g} the score is 0"),
    )
    return Chart(
        name,
        "Accuracy against sparsity",
        "A point is a student; choose it to see the student's uploads. Dashed lines "
        "join equal scores.",
        [
            (draw_equal_scores(across, up, least) + rule + label + points).properties(
                height=360
            )
        ],
    )


def draw_history() -> Chart:
    """Draws the scores of a student's uploads, one after the other.

    The page's script supplies the points, as the data set "uploads": upload (from 1),
    time, score, accuracy, sparsity.
    """
    base = alt.Chart(alt.NamedData("uploads"), description="score of each upload")
    line = base.mark_line(
        color=COLOURS[0], strokeWidth=1.5, point={"size": 60, "color": COLOURS[0]}
    )
    line = line.encode(
        x=alt.X("upload:O", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("score:Q", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4)),
        tooltip=[
            alt.Tooltip("upload:Q"),
            alt.Tooltip("time:N", title="when"),
            *(
                alt.Tooltip(f"{key}:Q", format=".4f")
                for key in ("score", "accuracy", "sparsity")
            ),
        ],
    )
    return Chart("history", "Scores", "", [line.properties(height=150)])


def write_page(board: Mapping[str, Any], path: str | Path) -> None:
    """Writes the leaderboard as a page.

    Args:
        board: What leaderboard.json holds. Names and reasons may be any text.
        path: The HTML file to write.
    """
    students = board["students"]
    scored = [one for one in students if one["score"] is not None]
    scores = [one["score"] for one in scored]
    median = statistics.median(scores) if scores else None
    least = board["least_accuracy"]
    charts = [draw_history()]
    if scored:
        charts.append(draw_class("plane", scored, least))
    if len(scored) >= 10:
        better = [one for one in scored if one["score"] >= median]
        charts.append(draw_class("near", better, least))
    made = _seconds(board["made"])
    assert made is not None
    template = importlib.resources.files(__package__) / "leaderboard.html.j2"
    page = render_page(
        template.read_text(encoding="utf-8"),
        board=board,
        made=datetime.fromtimestamp(made, UTC).strftime("%Y-%m-%d %H:%M"),
        count=len(students),
        scored=len(scored),
        refused=len(students) - len(scored),
        hints=sum(bool(one["same_weights"] or one["same_mask"]) for one in students),
        best=max(scores, default=None),
        leaders=[_valid(one["name"]) for one in scored if one["score"] == max(scores)],
        median=median,
        charts={chart.name: chart for chart in charts},
        specs={chart.name: page_specs(chart)[0] for chart in charts},
        rows={**_rows(students), "median": _short(median)},
    )
    write_bytes(path, page)

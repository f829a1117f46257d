"""The stages of a run: what each took, and the graph of what it needs.

A stage is all jobs of a rule, however many methods there are.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from shears.runtime.job_record import find_records

WIDTH, HEIGHT = 158, 46  #: of a stage in the figure
ACROSS, DOWN = 16, 26  #: between stages
Edge = tuple[str, str]  #: a stage and one that reads its results


def read_costs(folder: str | Path) -> list[dict[str, Any]]:
    """Adds up Snakemake's benchmark files, a row per rule.

    Args:
        folder: Where they are; missing ones are not counted.

    Returns:
        rule, jobs, seconds (of all jobs), memory (MiB, the largest; None if never
        measured, because the jobs end too fast), longest time first.
    """
    rules: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        cell = path.parent.name == "optimizers"
        rule = "benchmark_optimizer" if cell else path.stem
        with path.open(encoding="utf-8") as file:
            rules.setdefault(rule, []).extend(csv.DictReader(file, delimiter="\t"))
    rows: list[dict[str, Any]] = []
    for rule, jobs in rules.items():
        memory = [float(job["max_rss"]) for job in jobs if job["max_rss"] != "NA"]
        rows.append(
            {
                "rule": rule,
                "jobs": len(jobs),
                "seconds": sum(float(job["s"]) for job in jobs),
                "memory": max(memory, default=None),
            }
        )
    return sorted(rows, key=lambda row: -row["seconds"])


def without_implied(edges: Iterable[Edge]) -> set[Edge]:
    """Drops edges from a rule to itself, and those that a longer path implies."""
    edges = {(a, b) for a, b in edges if a != b}

    def reaches(start: str, end: str, left_out: Edge) -> bool:
        following = {b for a, b in edges - {left_out} if a == start}
        return end in following or any(
            reaches(name, end, left_out) for name in following
        )

    return {edge for edge in edges if not reaches(*edge, left_out=edge)}


def read_graph(results: str | Path) -> set[Edge]:
    """Reads from the jobs' records which stages read the results of which.

    The report itself is left out: it cannot know its own time.

    Raises:
        UserError: A record cannot be read.
    """
    records = [r for r in find_records(results) if r.rule != "score_report"]
    makers = {path: record.rule for record in records for path in record.outputs}
    return without_implied(
        (makers[path], record.rule)
        for record in records
        for path in record.inputs
        if path in makers
    )


def _levels(edges: set[Edge]) -> dict[str, int]:
    """Gives each stage a level, below all that it needs and close above what needs it.

    What nothing needs stays as high as it can.
    """
    names = sorted({name for edge in edges for name in edge})
    levels = dict.fromkeys(names, 0)
    for _ in names:
        for a, b in edges:
            levels[b] = max(levels[b], levels[a] + 1)
    for _ in names:
        for name in names:
            following = [levels[b] for a, b in edges if a == name]
            levels[name] = min(following, default=levels[name] + 1) - 1
    return levels


def _rows(edges: set[Edge]) -> list[list[str]]:
    """Arranges stages in rows, each below what it needs, with few crossings."""
    levels = _levels(edges)
    rows: list[list[str]] = [[] for _ in range(max(levels.values()) + 1)]
    for name in sorted(levels):
        rows[levels[name]].append(name)
    centres: dict[str, float] = {}
    for row in rows:
        places = {}
        for name in row:
            above = [centres[a] for a, b in edges if b == name and a in centres]
            places[name] = sum(above) / len(above) if above else len(rows)
        row.sort(key=lambda name: places[name])
        for i, name in enumerate(row):
            centres[name] = i - (len(row) - 1) / 2
    return rows


def _time(cost: Mapping[str, Any] | None) -> str:
    """Says how long a stage took, and in how many jobs."""
    if not cost:
        return "time unknown"
    seconds = cost["seconds"]
    time = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.1f} min"
    if seconds >= 5400:
        time = f"{seconds / 3600:.1f} h"
    return time if cost["jobs"] == 1 else f"{time} in {cost['jobs']} jobs"


def draw_stages(
    edges: set[Edge], costs: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Lays out the graph of stages.

    Args:
        edges: Stages and those that read their results; no cycles.
        costs: What each took (`read_costs`).

    Returns:
        ``width`` and ``height``; ``boxes``: x, y, width, height, name, time, share (of
        the time of all stages, as a width) and ``lines``, SVG paths between them. None
        without edges.
    """
    if not edges:
        return None
    known = {cost["rule"]: cost for cost in costs}
    rows = _rows(edges)
    names = [name for row in rows for name in row]
    total = sum(known[name]["seconds"] for name in names if name in known) or 1.0
    width = max(map(len, rows)) * (WIDTH + ACROSS) + ACROSS
    boxes: dict[str, dict[str, Any]] = {}
    for level, row in enumerate(rows):
        left = (width - len(row) * (WIDTH + ACROSS) + ACROSS) / 2
        for i, name in enumerate(row):
            cost = known.get(name)
            boxes[name] = {
                "x": left + i * (WIDTH + ACROSS),
                "y": level * (HEIGHT + DOWN) + 4,
                "width": WIDTH,
                "height": HEIGHT,
                "name": name.replace("_", " "),
                "time": _time(cost),
                "share": WIDTH * (cost["seconds"] / total if cost else 0.0),
            }
    lines = []
    for a, b in sorted(edges):
        x, y = boxes[a]["x"] + WIDTH / 2, boxes[a]["y"] + HEIGHT
        x2, y2 = boxes[b]["x"] + WIDTH / 2, boxes[b]["y"]
        lines.append(
            f"M{x:g} {y:g}C{x:g} {y + DOWN:g} {x2:g} {y2 - DOWN:g} {x2:g} {y2:g}"
        )
    height = len(rows) * (HEIGHT + DOWN) - DOWN + 8
    return {
        "width": width,
        "height": height,
        "boxes": list(boxes.values()),
        "lines": lines,
    }

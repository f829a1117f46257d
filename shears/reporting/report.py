"""The score report: one HTML page that needs no other file, and its figures."""

import base64
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from shears.data.dataset import read_split
from shears.evaluation.analysis import (
    compare_choices,
    compare_predictions,
    count_confusions,
    count_values,
    expect_score,
)
from shears.model.architecture import LAYERS
from shears.pruning.dead_units import find_dead_units
from shears.reporting import charts, network_charts
from shears.reporting.candidates import (
    Candidate,
    draw_frontier,
    history_rows,
    mean_scores,
    over_seeds,
    score_rows,
    title,
)
from shears.reporting.latency import draw_latency, latency_table
from shears.reporting.network_picture import describe_network
from shears.reporting.page import render_page
from shears.reporting.stages import draw_stages, read_costs, read_graph
from shears.runtime.files import (
    read_json,
    verify,
    whole_file,
    write_bytes,
    write_json,
)
from shears.weight_files.canonical import read_weights

CLASSES = {
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck".split(),
    "digits": [str(i) for i in range(10)],
}
SHOWN = 24  # at most, of the images that only the dense network classifies correctly
ENLARGED = 8  # pixels per weight in the picture of a filter


def _draw_filters(kernel: np.ndarray) -> bytes:
    """Draws the first layer's filters, (3, 3, 3, 32), as one PNG; zero is grey."""
    largest = np.abs(kernel).max((0, 1, 2), initial=1e-9)
    tiles = np.moveaxis(0.5 + kernel / (2 * largest), -1, 0)
    tiles = np.round(tiles * 255).astype(np.uint8)
    tiles = tiles.repeat(ENLARGED, 1).repeat(ENLARGED, 2)
    tiles = np.pad(tiles, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=255)
    rows = [np.concatenate(tiles[i : i + 8], 1) for i in range(0, len(tiles), 8)]
    return _png(np.concatenate(rows))


def _png(pixels: np.ndarray) -> bytes:
    """Encodes (height, width, 3) uint8 as PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return content.getvalue()


def _embed(content: bytes, kind: str) -> str:
    """Encodes a picture as a data URL."""
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def _embed_file(path: str | Path) -> str:
    """Encodes an SVG file as a data URL."""
    verify(path)
    return _embed(Path(path).read_bytes(), "svg+xml")


def _examine(
    chain: Sequence[Candidate], dataset: str | Path, classes: Sequence[str]
) -> tuple[list[charts.Chart], dict[str, Any], dict[str, bytes]]:
    """Compares the chosen network, the last of a chain, with the first, dense one.

    Returns:
        Charts, further values for the template, and pictures by name.
    """
    weights = [read_weights(candidate.weights) for candidate in chain]
    stages = [candidate.stage for candidate in chain]
    before, after = chain[0].read_predictions(), chain[-1].read_predictions()
    labels = after[0]
    changes = compare_predictions(labels, before[1], after[1])
    matrix = count_confusions(labels, after[1])
    images = read_split(dataset, "test").images[changes.lost[:SHOWN]]
    network_panels = [
        network_charts.draw_values(
            [
                {**row, "layer": layer.name}
                for i, layer in enumerate(LAYERS)
                for row in count_values(
                    {
                        stages[k]: weights[k].kernels[i]
                        for k in sorted({0, len(chain) - 1})
                    }
                )
            ]
        ),
        network_charts.draw_units(
            [
                {"layer": layer, "stage": stage, "unit": i, "dead": bool(dead)}
                for stage, parameters in zip(stages, weights, strict=True)
                for layer, units in find_dead_units(parameters).items()
                for i, dead in enumerate(units)
            ]
        ),
        network_charts.draw_confusions(
            [
                {"shown": a, "predicted": b, "images": int(matrix[i, j])}
                for i, a in enumerate(classes)
                for j, b in enumerate(classes)
            ],
            classes,
        ),
        network_charts.draw_classes(
            [
                {
                    "class": name,
                    "stage": stage,
                    "accuracy": float((predictions[labels == i] == i).mean()),
                }
                for stage, (_, predictions) in {
                    stages[0]: before,
                    stages[-1]: after,
                }.items()
                for i, name in enumerate(classes)
                if (labels == i).any()
            ]
        ),
    ]
    values = {
        "network": describe_network(stages, weights),
        "stages": [stages[0], stages[-1]],
        "changes": changes,
        "flipped": [
            {
                "picture": _embed(_png(image), "png"),
                "shows": classes[labels[i]],
                "before": classes[before[1][i]],
                "after": classes[after[1][i]],
                "number": int(i),
            }
            for i, image in zip(changes.lost, images, strict=False)
        ],
    }
    pictures = {
        "filters_before": _draw_filters(weights[0].kernels[0]),
        "filters_after": _draw_filters(weights[-1].kernels[0]),
    }
    return network_panels, values, pictures


def write_report(
    candidates: Sequence[Candidate],
    choice: Mapping[str, Any],
    *,
    baselines: Mapping[str, str],
    manifest: str | Path,
    data_set: str,
    dataset: str | Path,
    study: Mapping[str, str | Path],
    latency: str | Path | None,
    costs: str | Path,
    config: Mapping[str, Any],
    command: str,
    template: str | Path,
    report: str | Path,
    configuration: str | Path,
    figures: str | Path,
) -> None:
    """Renders the report, and its figures as files.

    Args:
        candidates: In the order of the workflow, baselines first.
        choice: The choice (`selection.choose`).
        baselines: The baseline that each method and seed ("lamp/seed_0") prunes.
        manifest: The submission's manifest.
        data_set: "cifar10" or "digits".
        dataset: The prepared data; some test images are shown.
        study: Part A's files: "table", "losses", "sensitivity", "paths"; empty if Part
            A is left out.
        latency: What ``measure_latency`` measured; None if it was left out.
        costs: Folder of Snakemake's benchmark files.
        config: The run's configuration, to print.
        command: The command that reproduces the run.
        template: Jinja2 template.
        report: HTML file to write.
        configuration: JSON file to write: `config`, to compare runs.
        figures: Folder for the charts, as SVG and PNG, and the filters, as PNG.
    """
    names = [c.name for c in candidates]
    chosen = names.index(choice["candidate"])
    best = candidates[chosen]
    ends = (best.chain, baselines.get(best.chain))
    chain = [c for c in candidates[: chosen + 1] if c.chain in ends]
    rows = score_rows(candidates, best.name)
    agreement = compare_choices(
        [row["validation_score"] for row in rows],
        [row["test_score"] for row in rows],
        chosen,
    )
    origins = list(dict.fromkeys(c.origin for c in candidates if c.origin))
    history, cuts = history_rows(chain)
    note = f"{chain[0].origin}: it has no curves." if chain[0].origin else ""
    classes = CLASSES[data_set]
    network_panels, values, pictures = _examine(chain, dataset, classes)
    panels = [
        mean_scores(candidates),
        draw_frontier(rows),
        charts.draw_choice(rows),
        *([charts.draw_histories(history, cuts, note)] if history else []),
        network_charts.draw_densities(
            [
                {"layer": layer, "stage": c.stage, "density": density}
                for c in chain
                for layer, density in c.metrics["kernel_density"].items()
            ]
        ),
        *network_panels,
    ]
    speed = latency and read_json(latency)
    if speed:
        panels.append(draw_latency(speed, names, rows))
    for chart in panels:
        places = [Path(figures) / f"{chart.name}.{kind}" for kind in ("svg", "png")]
        charts.save_chart(chart, *places)
    for name, picture in pictures.items():
        with whole_file(Path(figures) / f"{name}.png") as file:
            file.write(picture)
    spent = read_costs(costs)
    page = render_page(
        Path(template).read_text(encoding="utf-8"),
        candidates=candidates,
        origins=origins,
        groups=[same for rounds in over_seeds(candidates).values() for same in rounds],
        statistics=statistics,
        choice=choice,
        best=best,
        expected=expect_score(best.validation, int(best.test["images"])),
        agreement=agreement,
        title=title,
        manifest=read_json(manifest),
        charts={chart.name: chart for chart in panels},
        specs={chart.name: charts.page_specs(chart) for chart in panels},
        pictures={name: _embed(picture, "png") for name, picture in pictures.items()},
        speed=speed,
        speed_rows=latency_table(speed) if speed else [],
        study=study and read_json(study["table"]),
        study_plots={
            name: _embed_file(path) for name, path in study.items() if name != "table"
        },
        costs=spent,
        dag=draw_stages(read_graph(Path(report).parent), spent),
        config=yaml.safe_dump(dict(config), sort_keys=False, width=88),
        command=command,
        **values,
    )
    write_json(configuration, config)
    write_bytes(report, page)

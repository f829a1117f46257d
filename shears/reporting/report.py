"""The score report: one HTML page that needs nothing else, and its pictures."""

import base64
import csv
import importlib.resources
import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
import vl_convert
import yaml
from PIL import Image

from shears.data.dataset import read_split
from shears.evaluation.analysis import (
    compare_answers,
    compare_choices,
    count_confusions,
    count_values,
    dead_units,
    expect_score,
    frontier,
)
from shears.model.architecture import LAYERS
from shears.reporting import charts
from shears.runtime.files import read_csv, read_json, verify, whole_file, write_bytes
from shears.weight_files.canonical import read_weights

CLASSES = {
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck".split(),
    "digits": [str(i) for i in range(10)],
}
SHOWN = 24  # images whose answer pruning made wrong
ENLARGED = 8  # pixels a weight of a filter, in its picture


class Candidate(NamedTuple):
    """What is known of a candidate.

    Attributes:
        name: Its folder: `baseline/seed_0` or `method/seed_0/round_1`.
        validation: Its score on the validation set (`score_file`).
        test: Its score on the test set.
        metrics: What its training stage measured.
        history: Its training, a row an epoch.
        weights: Its weights file.
        answers: CSV file: for each test image its label and the network's answer.
    """

    name: str
    validation: Mapping[str, float]
    test: Mapping[str, float]
    metrics: Mapping
    history: Sequence[Mapping[str, float]]
    weights: str | Path = ""
    answers: str | Path = ""

    @property
    def title(self) -> str:
        """The name, to be read."""
        return title(self.name)

    @property
    def method(self) -> str:
        """The method or baseline, to be read."""
        return title(self.name.split("/")[0])

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.name.split("/")[1].removeprefix("seed_"))

    @property
    def round(self) -> int:
        """Its round; 0 for a baseline."""
        return int(self.name.partition("/round_")[2] or 0)

    @property
    def stage(self) -> str:
        """What it is among those that led to the same end: the baseline or a round."""
        return f"round {self.round}" if self.round else self.method

    @property
    def chain(self) -> str:
        """What it is one of: a method and a seed, or a baseline and a seed."""
        return "/".join(self.name.split("/")[:2])


def title(name: str) -> str:
    """Writes a candidate's name to be read: "lamp, seed 0, round 1"."""
    return name.replace("/", ", ").replace("_", " ")


def over_seeds(candidates: Sequence[Candidate]) -> dict[str, list[list[Candidate]]]:
    """Groups candidates: by method or baseline, in it by round, in that the seeds."""
    groups: dict[str, dict[int, list[Candidate]]] = {}
    for candidate in candidates:
        kind = candidate.name.split("/")[0]
        groups.setdefault(kind, {}).setdefault(candidate.round, []).append(candidate)
    return {kind: list(rounds.values()) for kind, rounds in groups.items()}


def mean_scores(
    candidates: Sequence[Candidate], key: str = "score", name: str = "scores"
) -> charts.Chart:
    """Draws the mean test score, or accuracy, over seeds against sparsity.

    Scores of 0 are left out, unless there is nothing else: they say that accuracy was
    missed, and would press all others into a line.
    """
    shown = [c for c in candidates if c.test[key] > 0] or candidates
    rows = []
    for rounds in over_seeds(shown).values():
        for same in rounds:
            values = [c.test[key] for c in same]
            rows.append(
                {
                    "method": same[0].method,
                    "sparsity": same[0].test["sparsity"],
                    "mean": statistics.mean(values),
                    "deviation": statistics.stdev(values) if len(values) > 1 else 0.0,
                    "n": len(values),
                }
            )
    return charts.draw_means(
        rows, f"test {key}", name, left_out=len(candidates) - len(shown)
    )


def _plane_rows(candidates: Sequence[Candidate], chosen: str) -> list[dict]:
    """What the charts of single candidates show."""
    return [
        {
            "title": c.title,
            "method": c.method,
            "sparsity": c.test["sparsity"],
            "chosen": c.name == chosen,
            **{
                f"{split}{suffix}": getattr(c, split)[key]
                for split in ("test", "validation")
                for suffix, key in (("", "accuracy"), ("_score", "score"))
            },
        }
        for c in candidates
    ]


def _history_rows(chain: Sequence[Candidate]) -> tuple[list[dict], list[dict]]:
    """A chain's histories one after another, and where its stages begin."""
    rows, cuts, start, before = [], [], 0, 0.0
    for candidate in chain:
        end = start
        for row in candidate.history:
            epoch = start + int(row["epoch"])
            rows.append({**row, "epoch": epoch, "stage": candidate.stage})
            if candidate.round and row["sparsity"] > before:
                end, before = epoch, row["sparsity"]
        cuts.append({"stage": candidate.stage, "start": start, "cut_end": end})
        start += len(candidate.history)
    return rows, cuts


def _draw_filters(kernel: np.ndarray) -> bytes:
    """Draws the first layer's filters, (3, 3, 3, 32), as one PNG: zero is grey."""
    largest = np.abs(kernel).max((0, 1, 2), initial=1e-9)
    tiles = np.moveaxis(0.5 + kernel / (2 * largest), -1, 0)
    tiles = np.round(tiles * 255).astype(np.uint8)
    tiles = tiles.repeat(ENLARGED, 1).repeat(ENLARGED, 2)
    tiles = np.pad(tiles, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=255)
    rows = [np.concatenate(tiles[i : i + 8], 1) for i in range(0, len(tiles), 8)]
    return _png(np.concatenate(rows))


def _png(pixels: np.ndarray) -> bytes:
    """Packs (height, width, 3) uint8 as PNG."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG", optimize=True)
    return content.getvalue()


def _embed(content: bytes, kind: str) -> str:
    """Turns a picture into an address that holds it."""
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def _embed_file(path: str | Path) -> str:
    """Turns an SVG file into an address that holds it."""
    verify(path)
    return _embed(Path(path).read_bytes(), "svg+xml")


def read_costs(folder: str | Path) -> list[dict]:
    """Adds up Snakemake's benchmark files, a row a rule.

    Args:
        folder: Where they are; what is not there is not counted.

    Returns:
        rule, jobs, seconds (of all of them), memory (MiB, the largest; None if it was
        never measured, as of stages that were over too fast), by falling time.
    """
    rules: dict[str, list[dict]] = {}
    for path in sorted(Path(folder).rglob("*.tsv")):
        cell = path.parent.name == "optimizers"
        rule = "benchmark_optimizer" if cell else path.stem
        with path.open() as file:
            rules.setdefault(rule, []).extend(csv.DictReader(file, delimiter="\t"))
    rows = []
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


def _read_answers(candidate: Candidate) -> tuple[np.ndarray, np.ndarray]:
    """Reads labels and answers."""
    rows = read_csv(candidate.answers)
    return tuple(
        np.array([row[key] for row in rows], np.uint8) for key in ("label", "answer")
    )


def _examine(
    chain: Sequence[Candidate], dataset: str | Path, classes: Sequence[str]
) -> tuple[list[charts.Chart], dict, dict[str, bytes]]:
    """Looks into the chosen network, the last of a chain, and the first, dense one.

    Returns:
        Charts, what the template shows besides, and pictures by name.
    """
    weights = [read_weights(candidate.weights) for candidate in chain]
    stages = [candidate.stage for candidate in chain]
    before, after = _read_answers(chain[0]), _read_answers(chain[-1])
    labels = after[0]
    changes = compare_answers(labels, before[1], after[1])
    matrix = count_confusions(labels, after[1])
    images = read_split(dataset, "test").images[changes.lost[:SHOWN]]
    found = [
        charts.draw_values(
            [
                {**row, "layer": layer.name}
                for i, layer in enumerate(LAYERS)
                for row in count_values(
                    {stages[k]: weights[k][2 * i] for k in sorted({0, len(chain) - 1})}
                )
            ]
        ),
        charts.draw_units(
            [
                {"layer": layer, "stage": stage, "unit": i, "dead": bool(dead)}
                for stage, arrays in zip(stages, weights, strict=True)
                for layer, units in dead_units(arrays).items()
                for i, dead in enumerate(units)
            ]
        ),
        charts.draw_confusions(
            [
                {"shown": a, "taken_for": b, "images": int(matrix[i, j])}
                for i, a in enumerate(classes)
                for j, b in enumerate(classes)
            ],
            classes,
        ),
        charts.draw_classes(
            [
                {
                    "class": name,
                    "stage": stage,
                    "accuracy": float((answers[labels == i] == i).mean()),
                }
                for stage, (_, answers) in {
                    stages[0]: before,
                    stages[-1]: after,
                }.items()
                for i, name in enumerate(classes)
                if (labels == i).any()
            ]
        ),
    ]
    told = {
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
        "filters_before": _draw_filters(weights[0][0]),
        "filters_after": _draw_filters(weights[-1][0]),
    }
    return found, told, pictures


def _libraries() -> dict[str, str]:
    """The scripts and styles that the page holds: Vega's and DataTables'."""
    tables = importlib.resources.files("itables") / "html"
    return {
        # Inside a script element nothing else ends it.
        "vega": vl_convert.javascript_bundle().replace("</script", "<\\/script"),
        "tables": base64.b64encode((tables / "dt_bundle.js").read_bytes()).decode(),
        "tables_style": (tables / "dt_bundle.css").read_text(),
    }


def write_report(
    candidates: Sequence[Candidate],
    choice: Mapping,
    *,
    baselines: Mapping[str, str],
    manifest: str | Path,
    dataset: str | Path,
    study: Mapping[str, str | Path],
    costs: str | Path,
    config: Mapping,
    command: str,
    template: str | Path,
    report: str | Path,
    figures: str | Path,
) -> None:
    """Renders the report, and its pictures as files.

    Args:
        candidates: In the order of the workflow, baselines first.
        choice: What `shears.evaluation.selection.choose` said.
        baselines: For each method and seed ("lamp/seed_0") the baseline it prunes.
        manifest: The submission's manifest.
        dataset: The prepared data: some test images are shown.
        study: Part A's files: "table", "losses", "sensitivity", "paths"; empty where
            Part A is left out.
        costs: Folder of Snakemake's benchmark files.
        config: The configuration that was used.
        command: What makes the page.
        template: Jinja2 template.
        report: HTML file to write.
        figures: Folder for the charts, as SVG and PNG, and the filters, as PNG.
    """
    names = [c.name for c in candidates]
    chosen = names.index(choice["candidate"])
    best = candidates[chosen]
    ends = (best.chain, baselines.get(best.chain))
    chain = [c for c in candidates[: chosen + 1] if c.chain in ends]
    rows = _plane_rows(candidates, best.name)
    agreement = compare_choices(
        [row["validation_score"] for row in rows],
        [row["test_score"] for row in rows],
        chosen,
    )
    more, told, pictures = _examine(chain, dataset, CLASSES[config["data"]["name"]])
    drawn = [
        mean_scores(candidates),
        charts.draw_plane(
            rows,
            {
                split: frontier([(row["sparsity"], row[split]) for row in rows])
                for split in ("test", "validation")
            },
        ),
        charts.draw_choice(rows),
        charts.draw_histories(*_history_rows(chain)),
        charts.draw_densities(
            [
                {"layer": layer, "stage": c.stage, "density": density}
                for c in chain
                for layer, density in c.metrics["kernel_density"].items()
            ]
        ),
        *more,
    ]
    for chart in drawn:
        places = [Path(figures) / f"{chart.name}.{kind}" for kind in ("svg", "png")]
        charts.save_chart(chart, *places)
    for name, picture in pictures.items():
        with whole_file(Path(figures) / f"{name}.png") as temporary:
            temporary.write_bytes(picture)
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.from_string(Path(template).read_text()).render(
        candidates=candidates,
        groups=[same for rounds in over_seeds(candidates).values() for same in rounds],
        statistics=statistics,
        choice=choice,
        best=best,
        expected=expect_score(best.validation, best.test["images"]),
        agreement=agreement,
        title=title,
        manifest=read_json(manifest),
        charts={chart.name: chart for chart in drawn},
        specs={chart.name: charts.page_specs(chart) for chart in drawn},
        pictures={name: _embed(picture, "png") for name, picture in pictures.items()},
        study=study and read_json(study["table"]),
        study_plots={
            name: _embed_file(path) for name, path in study.items() if name != "table"
        },
        costs=read_costs(costs),
        config=yaml.safe_dump(dict(config), sort_keys=False, width=88),
        command=command,
        libraries=_libraries(),
        **told,
    )
    write_bytes(report, page.encode())

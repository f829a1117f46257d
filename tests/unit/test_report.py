from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from shears.files import write_json
from shears.report import Candidate, plot_scores, write_report

TEMPLATE = Path(__file__).parents[2] / "report/report.html.j2"


def candidate(name: str, accuracy: float, sparsity: float) -> Candidate:
    score = {
        "images": 5000,
        "accuracy": accuracy,
        "sparsity": sparsity,
        "score": (accuracy + sparsity) / 2,
    }
    row = {
        "epoch": 1.0,
        "loss": 1.0,
        "validation_loss": 1.1,
        "accuracy": 0.5,
        "validation_accuracy": accuracy,
        "sparsity": sparsity,
    }
    metrics = {
        "epochs": 2,
        "seconds": 90.0,
        "images_per_second": 1234.5,
        "kernel_density": {"conv2d": 0.5, "dense": 0.01},
        "device": "cpu",
        "precision": "float32",
        "seed": 0,
    }
    history = [row, {**row, "epoch": 2.0}]
    return Candidate(name, score, {**score, "images": 10_000}, metrics, history)


@pytest.fixture
def render(tmp_path):
    manifest = {
        "file": "my_model_weights.h5",
        "sha256": "ab" * 32,
        "zeros": 1_188_315,
        "parameters": 1_250_858,
        "sparsity": 0.95,
        "test": {"accuracy": 0.81, "score": 0.88},
        "machine": {
            "cpu": "<b>cpu</b>",
            "cores": 2,
            "system": "Linux",
            "python": "3",
            "tensorflow": "2",
            "keras": "3",
            "commit": None,
        },
    }
    write_json(tmp_path / "manifest.json", manifest)
    choice = {
        "candidate": "lamp/seed_0/round_1",
        "reason": "best of two",
        "refused": ["lamp/seed_0/round_2"],
    }

    def write(study=None) -> str:
        write_report(
            [
                candidate("dense/seed_0", 0.85, 0.0),
                candidate("lamp/seed_0/round_1", 0.81, 0.95),
            ],
            choice,
            baselines={"lamp/seed_0": "dense/seed_0"},
            manifest=tmp_path / "manifest.json",
            study=study or {},
            template=TEMPLATE,
            report=tmp_path / "report.html",
        )
        return (tmp_path / "report.html").read_text()

    return write


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.rows, self.images, self.chosen = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "tr":
            self.rows.append([])
            self.chosen += attrs.get("class") == "chosen"
        if tag == "img":
            self.images.append(attrs["src"])

    def handle_data(self, data):
        if self.rows and data.strip():
            self.rows[-1].append(data.strip())


def test_the_page_shows_each_candidate_and_marks_the_chosen(render):
    page = Page(render())
    row = next(row for row in page.rows if row[0] == "lamp, seed 0, round 1")
    assert row[:9] == [
        *("lamp, seed 0, round 1", "0.9500", "0.8100", "0.8800", "0.8100", "0.8800"),
        *("2", "1.5", "1,234"),
    ]
    assert page.chosen == 2  # in both tables


def test_the_page_needs_nothing_from_elsewhere(render):
    text = render()
    page = Page(text)
    assert len(page.images) == 2
    assert all(src.startswith("data:image/svg+xml;base64,") for src in page.images)
    assert "http" not in text.replace("http-equiv", "")


LINE = {
    "data_set": "condition_100",
    "optimizer": "Adam, all samples",
    "learning_rate": 0.3162,
    "updates": 1083,
    "epochs": 1083.0,
    "milliseconds": 2.5,
    "distance": 0.0002,
    "diverged": 3,
    "keras_updates": 1083,
    "difference": 1e-7,
}
LOST = {
    **dict.fromkeys(LINE),
    "data_set": "sparse",
    "optimizer": "SGD",
    "diverged": 13,
    "difference": 0.0,
}
FIRST = {
    "data_set": "condition_100",
    "updates": "Adam, all samples",
    "epochs": "SGD",
    "milliseconds": "nobody",
}


def test_part_a_has_a_section_if_there_is_one(render, tmp_path):
    assert "Part A" not in render()
    study = {"table": tmp_path / "table.json"}
    write_json(study["table"], {"lines": [LINE, LOST], "winners": [FIRST]})
    for name in ("losses", "sensitivity", "paths"):
        study[name] = tmp_path / f"{name}.svg"
        study[name].write_text(f"<svg>{name}</svg>")
    page = Page(render(study))
    assert [
        *("condition 100", "Adam, all samples", "0.316", "1,083", "1,083.0", "2.50"),
        *("0.0002", "3", "1,083", "1e-07"),
    ] in page.rows
    lost = next(row for row in page.rows if row[:2] == ["sparse", "SGD"])
    assert lost[2:] == ["all diverge", *["never"] * 3, "13", "never", "0"]
    first = ["condition 100", "Adam, all samples", "SGD", "nobody"]
    assert first in [row[:4] for row in page.rows]
    assert len(page.images) == 5


def test_what_is_shown_is_escaped_and_refusals_are_named(render):
    text = render()
    assert "&lt;b&gt;cpu&lt;/b&gt;" in text
    assert "not safely above 0.65: lamp, seed 0, round 2." in text


def test_sparsities_on_the_axis_are_short():
    sparsities = (8e-7, 0.9, 0.975, 0.9999999)
    candidates = [
        candidate(f"lamp/seed_0/round_{i}", 0.8, s) for i, s in enumerate(sparsities)
    ]
    (axes,) = plot_scores(candidates, "lamp/seed_0/round_1").axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["0 %", "90 %", "97.5 %", "100 %"]


def test_each_method_has_a_line_of_means_over_seeds():
    candidates = [
        candidate(f"{method}/seed_{seed}/round_{i + 1}", accuracy, 0.9 + i / 100)
        for method in ("erk", "lamp")
        for seed, accuracy in ((0, 0.7), (1, 0.8))
        for i in range(3)
    ]
    (axes,) = plot_scores(candidates, "lamp/seed_1/round_3").axes
    lines = {bars.get_label(): bars for bars in axes.containers}
    assert list(lines) == [
        *("erk, score", "erk, accuracy", "lamp, score", "lamp, accuracy")
    ]
    means = lines["lamp, accuracy"].lines[0].get_ydata().astype(float)
    np.testing.assert_allclose(means, [0.75] * 3)
    (bars,) = lines["lamp, accuracy"].lines[2]
    low, high = (point[1] for point in bars.get_segments()[0])
    assert high - low == pytest.approx(2 * np.std([0.7, 0.8], ddof=1))


def test_the_same_input_gives_the_same_bytes(render):
    assert render() == render()

import re
from itertools import combinations

import pytest
from PIL import Image

from shears.reporting import charts
from shears.reporting.candidates import mean_scores
from tests.report_pages import candidate


def test_a_sparsity_of_one_can_be_drawn(tmp_path):
    rows = [8e-7, 0.9, 0.975, 0.9999999]
    rows = [candidate(f"lamp/seed_0/round_{i}", 0.8, s) for i, s in enumerate(rows)]
    charts.save_chart(mean_scores(rows), tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert all(f">{share} %<" in text for share in ("90", "97.5"))


def test_lines_of_equal_score_have_slope_minus_one():
    rows = [
        {
            **{"title": "a", "method": "m", "chosen": True, "sparsity": sparsity},
            **dict.fromkeys(("test", "validation"), 0.85),
            **dict.fromkeys(("test_score", "validation_score"), (0.85 + sparsity) / 2),
        }
        for sparsity in (0.97, 0.985)
    ]
    chart = charts.draw_plane(rows, {"test": [1], "validation": [1]})
    (spec,) = charts.page_specs(chart)
    lines = next(rows for rows in spec["datasets"].values() if "x2" in rows[0])
    assert len(lines) > 3
    for line in lines:
        for x, y in ((line["x"], line["y"]), (line["x2"], line["y2"])):
            assert (x + y) / 2 == pytest.approx(float(line["score"]), abs=1e-9)


def row(title: str, accuracy: float, sparsity: float) -> dict:
    score = (accuracy + sparsity) / 2
    return {
        **{"title": title, "method": "lamp", "chosen": False, "sparsity": sparsity},
        **dict.fromkeys(("test", "validation"), accuracy),
        **dict.fromkeys(("test_score", "validation_score"), score),
    }


ROWS = [row("far", 0.7, 0.5), row("near", 0.84, 0.97), row("best", 0.83, 0.99)]


def drawn(chart: charts.Chart) -> list[dict]:
    """Returns all rows of all parts."""
    sets = [rows for s in charts.page_specs(chart) for rows in s["datasets"].values()]
    return [row for rows in sets for row in rows]


def test_candidates_far_from_the_best_are_left_out():
    plane = charts.draw_plane(ROWS, {"test": [1, 2], "validation": [2]})
    for chart in (plane, charts.draw_choice(ROWS)):
        assert {row["title"] for row in drawn(chart) if "title" in row} == {
            *("near", "best")
        }
    assert plane.text.startswith("2 of 3 candidates: ")


def test_the_frontier_of_each_set_is_marked():
    chart = charts.draw_plane(ROWS, {"test": [1, 2], "validation": [2]})
    points = [row for row in drawn(chart) if "frontier" in row]
    on_it = [(row["split"], row["title"]) for row in points if row["frontier"]]
    assert sorted(on_it) == [("test", "best"), ("test", "near"), ("validation", "best")]


def find_objects(key, spec):
    """Finds the values of a key that are objects, however deep."""
    for part in spec.values() if isinstance(spec, dict) else spec:
        if isinstance(part, dict | list):
            yield from find_objects(key, part)
    if isinstance(spec, dict) and isinstance(spec.get(key), dict):
        yield spec[key]


def test_a_dense_network_alone_is_drawn_without_negative_sparsity():
    row = {**ROWS[-1], "sparsity": 0.0}
    plane = charts.draw_plane([row], {"test": [], "validation": []})
    (spec,) = charts.page_specs(plane)
    domains = [x["scale"]["domain"] for x in find_objects("x", spec) if "scale" in x]
    assert domains and all(low == 0 < high for low, high in domains)


def test_methods_of_one_colour_differ_in_shape_and_dashes():
    names = [f"method {i}" for i in range(2 * len(charts.COLOURS))]
    rows = [
        {"method": name, "sparsity": 0.9, "mean": 0.8, "std": 0.0, "n": 1}
        for name in names
    ]
    (spec,) = charts.page_specs(charts.draw_means(rows, "test score", "scores"))
    ranges = {
        channel: encoding["scale"]["range"]
        for layer in spec["layer"]
        for channel, encoding in layer["encoding"].items()
        if channel in ("color", "shape", "strokeDash")
    }
    dashes = map(tuple, ranges["strokeDash"])
    looks = zip(ranges["color"], ranges["shape"], dashes, strict=True)
    for one, other in combinations(looks, 2):
        assert one != other
        if one[0] == other[0]:
            assert one[1] != other[1] and one[2] != other[2]


def test_learning_curves_are_shown_for_both_sets_and_cuts_where_there_are_some():
    rows = [
        {
            **{"stage": "dense", "epoch": epoch, "sparsity": 0.0},
            **{"loss": 1.0, "validation_loss": 2.0},
            **{"accuracy": 0.5, "validation_accuracy": 0.4},
        }
        for epoch in (1, 2)
    ]
    cuts = [
        {"stage": "dense", "start": 0, "cut_end": 0},
        {"stage": "round 1", "start": 1, "cut_end": 2},
    ]
    chart = charts.draw_histories(rows, cuts, "A note.")
    assert chart.text.endswith("in which sparsity rises. A note.")
    for spec, loss in zip(charts.page_specs(chart), (True, False, False), strict=True):
        band, rule, line = (
            spec["datasets"][layer["data"]["name"]] for layer in spec["layer"][:3]
        )
        assert band == cuts[1:]
        assert rule == cuts
        shown = {(row["of"], row["value"]) for row in line}
        if loss:
            assert shown == {("training", 1.0), ("validation", 2.0)}
        assert (len(spec["layer"]) == 4) == loss  # the stages' names


def test_on_the_page_every_part_fills_the_width():
    rows = [{"at": 1}]
    parts = [charts.make_chart(rows).mark_point().encode(x="at:Q") for _ in range(2)]
    specs = charts.page_specs(charts.Chart("a", "A", "", parts))
    assert [spec["width"] for spec in specs] == ["container"] * 2


def test_a_chart_is_saved_as_svg_and_as_png_of_twice_the_size(tmp_path):
    chart = charts.draw_choice(ROWS)
    charts.save_chart(chart, tmp_path / "a.svg", tmp_path / "a.png")
    svg = (tmp_path / "a.svg").read_text(encoding="utf-8")
    width, height = re.match(r'<svg .*?width="(\d+)" height="(\d+)"', svg).groups()
    assert int(width) > charts.WIDTH
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (2 * int(width), 2 * int(height))

import pytest

from shears.reporting.candidates import score_rows
from shears.reporting.charts import page_specs, save_chart
from shears.reporting.latency import draw_latency, latency_table
from tests.report_pages import candidate, latency

NAMES = ["dense/seed_0", "lamp/seed_0/round_1", "lamp/seed_0/round_2"]
CANDIDATES = [candidate(name, 0.8, 0.9) for name in NAMES]
ROWS = score_rows(CANDIDATES, NAMES[1])


def test_the_table_has_a_row_for_each_contender():
    about = latency(NAMES)
    rows = latency_table(about)
    assert [(row["network"], row["runtime"]) for row in rows] == [
        (network, runtime)
        for network in ("dense", "pruned", "compact")
        for runtime in ("Keras predict", "tf.function", "ONNX Runtime", "LiteRT")
    ] + [("compact", "C")]
    for i, row in enumerate(rows):
        assert row["bytes"] == 5_004_321
        single = row["single"]
        assert (single["threads"], single["batch"]) == (1, 1)
        assert single["median"] == pytest.approx(1000 / (i + 1))
        # of batches of 256, in one thread and in two
        assert row["batches"] == [1000 * (i + 1), 2000 * (i + 1)]


def test_the_share_of_the_peak_counts_zeros_where_they_are_multiplied():
    *models, code = latency_table(latency(NAMES))
    onnx = models[2]  # on the dense network
    assert onnx["share"] == pytest.approx(2 * 20_741_120 * 3000 / 1e12)
    assert code["share"] == pytest.approx(2 * 4_800_000 * 13_000 / 1e12)


def points_of(about) -> list[dict]:
    """The points of the chart."""
    (spec,) = page_specs(draw_latency(about, NAMES, ROWS))
    (points,) = spec["datasets"].values()
    return points


def test_the_chart_has_each_candidates_accuracy_and_latency():
    points = points_of(latency(NAMES))
    assert [(p["title"], p["test"], p["latency"], p["p95"]) for p in points] == [
        (one.title, 0.8, 90 + i, 99 + i) for i, one in enumerate(CANDIDATES)
    ]
    assert [point["chosen"] for point in points] == [False, True, False]


def test_candidates_that_were_not_measured_are_left_out():
    assert len(points_of(latency(NAMES[:2]))) == 2


def test_the_caption_names_the_runtimes():
    about = latency(NAMES)
    text = draw_latency(about, NAMES, ROWS).text
    assert "in one thread: C or ONNX Runtime on the compacted network" in text
    assert "C code is used where few weights are left" in text
    for row in about["candidates"]:
        row["runtime"] = "ONNX Runtime"
    assert "C code" not in draw_latency(about, NAMES, ROWS).text


@pytest.mark.slow
def test_the_chart_is_drawn(tmp_path):
    save_chart(draw_latency(latency(NAMES), NAMES, ROWS), tmp_path / "latency.svg")
    text = (tmp_path / "latency.svg").read_text(encoding="utf-8")
    assert "microseconds for an image" in text
    assert "accuracy (test)" in text

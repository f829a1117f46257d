import pytest

from shears.reporting.stages import (
    draw_stages,
    read_costs,
    read_graph,
    without_implied,
)
from shears.runtime.job_record import write_record
from tests.report_pages import write_files

EDGES = {
    ("data", "teacher"),
    ("teacher", "baseline"),
    ("baseline", "prune"),
    ("prune", "score"),
    ("score", "choose"),
    ("baseline", "notebook"),
    ("cells", "plots"),
    ("plots", "pack"),
    ("choose", "pack"),
}


def test_costs_are_added_up_by_rule(tmp_path):
    write_files(tmp_path)
    assert read_costs(tmp_path / "benchmarks") == [
        {"rule": "train", "jobs": 2, "seconds": 630.5, "memory": 2000.5},
        {"rule": "benchmark_optimizer", "jobs": 1, "seconds": 60.0, "memory": 500.0},
        {"rule": "choose", "jobs": 1, "seconds": 0.1, "memory": None},
    ]
    assert read_costs(tmp_path / "none") == []


def test_edges_that_others_imply_are_dropped():
    assert without_implied({*EDGES, ("data", "prune"), ("prune", "prune")}) == EDGES


def test_the_graph_is_that_of_the_records(tmp_path):
    def job(rule, inputs, output):
        for path in (*inputs, output):
            (tmp_path / path).touch()
        inputs, output = [str(tmp_path / i) for i in inputs], str(tmp_path / output)
        write_record(rule, [], inputs, [output])

    job("data", ["archive"], "images")
    job("train", ["images"], "dense")
    for n in range(1, 4):  # rounds read the round before
        job("prune", ["images", f"round_{n - 1}" if n > 1 else "dense"], f"round_{n}")
    job("score_report", ["round_3"], "page")
    assert read_graph(tmp_path) == {("data", "train"), ("train", "prune")}


def test_each_stage_is_below_what_it_needs_and_none_covers_another():
    figure = draw_stages(EDGES, [])
    at = {box["name"]: (box["x"], box["y"]) for box in figure["boxes"]}
    assert len(at) == len(set(at.values())) == 10
    for a, b in EDGES:
        assert at[a][1] < at[b][1]
    assert at["plots"][1] == at["choose"][1]  # close to what needs it
    assert at["notebook"][1] == at["prune"][1]  # nothing needs it
    for box in figure["boxes"]:
        assert 0 <= box["x"] <= figure["width"] - box["width"]
        assert 0 <= box["y"] <= figure["height"] - box["height"]
    assert len(figure["lines"]) == len(EDGES)
    for row in {y for _, y in at.values()}:
        places = sorted(x for x, y in at.values() if y == row)
        gaps = [b - a for a, b in zip(places, places[1:], strict=False)]
        assert all(gap > figure["boxes"][0]["width"] for gap in gaps)


@pytest.mark.parametrize(
    ("seconds", "jobs", "text"),
    [
        (5.2, 1, "5 s"),
        (300, 12, "5.0 min in 12 jobs"),
        (7200, 1, "2.0 h"),
        (None, 1, "time unknown"),
    ],
)
def test_times_are_in_a_readable_unit(seconds, jobs, text):
    costs = [{"rule": "b", "jobs": jobs, "seconds": seconds}] if seconds else []
    figure = draw_stages({("a", "b")}, costs)
    assert [box["time"] for box in figure["boxes"]] == ["time unknown", text]
    assert figure["boxes"][1]["share"] == (figure["boxes"][1]["width"] if costs else 0)


def test_without_records_there_is_no_figure():
    assert draw_stages(set(), []) is None

"""The table of candidates and the paths that a run ends with."""

import io
import json

import pytest
from rich.console import Console

from snakemake_logger_plugin_shears.result import candidates_table, duration, paths_of


@pytest.fixture
def results(tmp_path):
    """Results of twenty candidates; the fourth is chosen though another scores more."""
    for number in range(20):
        folder = tmp_path / f"lamp/seed_{number}"
        folder.mkdir(parents=True)
        score = 0.9 - number / 100
        facts = {"score": score, "accuracy": 0.7, "sparsity": 0.97}
        for split in ("validation", "test"):
            path = folder / f"score_{split}.json"
            path.write_text(json.dumps(facts), encoding="utf-8")
    choice = json.dumps({"candidate": "lamp/seed_15"})
    (tmp_path / "choice.json").write_text(choice, encoding="utf-8")
    return tmp_path


NAMES = [f"lamp/seed_{number}" for number in range(20)]


def show(table, columns):
    console = Console(file=io.StringIO(), width=columns)
    console.print(table)
    return console.file.getvalue()


@pytest.mark.parametrize("columns", [80, 120])
def test_the_chosen_one_is_marked_among_the_best(results, columns):
    text = show(candidates_table(results, NAMES, ascii_only=False), columns)
    rows = [line.split() for line in text.splitlines()]
    marked = [row for row in rows if row[:1] == ["→"] and row[1] in NAMES]
    assert marked == [["→", "lamp/seed_15", "0.7500", "0.7000", "0.9700", "+0.0500"]]
    assert sum("lamp/seed" in line for line in text.splitlines()) == 12
    assert "lamp/seed_11 " not in text and "lamp/seed_10 " in text
    assert "8 more candidates in the report" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= columns


def test_without_a_choice_there_is_no_table(results):
    plain = show(candidates_table(results, NAMES, ascii_only=True), 80)
    assert "> lamp/seed_15" in plain
    (results / "choice.json").unlink()
    assert candidates_table(results, NAMES, ascii_only=False) is None


def test_only_files_that_exist_are_named(results):
    assert paths_of(results, []) == []
    (results / "report.html").touch()
    assert paths_of(results, []) == [("report", str(results / "report.html"))]
    made = str(results / "choice.json")
    assert paths_of(results, [made, "missing"]) == [("made", made)]


def test_times_are_read_at_a_glance():
    assert [duration(s) for s in (0, 59.6, 754, 3723)] == [
        "0:00",
        "1:00",
        "12:34",
        "1:02:03",
    ]

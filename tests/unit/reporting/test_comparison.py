import re

import pytest

from shears.reporting.comparison import write_comparison
from shears.reporting.runs import read_run
from tests.invented_runs import write_run


@pytest.fixture
def write(tmp_path):
    """Returns a function that writes the page of runs."""

    def write(*folders) -> str:
        runs = [read_run(folder, folder.parent.name) for folder in folders]
        write_comparison(runs, tmp_path / "page.html")
        return (tmp_path / "page.html").read_text(encoding="utf-8")

    return write


def body(text: str) -> str:
    """What the page says."""
    main = text[text.index("<main") : text.index("</main>")]
    return " ".join(re.sub("<[^>]*>", " ", main).split())


def test_three_runs_have_frontiers_differences_curves_and_settings(write, tmp_path):
    folders = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", correct=80, config={"seeds": [1]}),
        write_run(tmp_path / "<c>", correct=85),
    ]
    text = write(*folders)
    said = body(text)
    assert 'data-chart="frontier"' in text and 'data-chart="curves"' in text
    assert "a : lamp, seed 0, round 2 is chosen, with test score 0.8950" in said
    assert "-0.1000 ± 0.0302" in said and "-0.0500 ± 0.0151" in said
    assert said.count("3 candidates with the same name") == 2
    assert "seeds [0] [1] [0]" in said
    assert "&lt;c&gt;" in said and "<c>" not in text[: text.index("<script")]
    assert len(text) < 5_000_000


def test_gaps_are_marked(write, tmp_path):
    folders = [write_run(tmp_path / "a"), write_run(tmp_path / "b", labels=[3] * 100)]
    (folders[1] / "configuration.json").unlink()
    said = body(write(*folders))
    assert "The test images are not the same" in said
    assert "The settings of fewer than two runs are known." in said
    assert "Its settings are unknown" in said

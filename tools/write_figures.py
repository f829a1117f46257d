"""Writes figures of the documents: the DAG, pictures of the report and a leaderboard.

The DAG is Snakemake's graph of rules without the rule `all`, edges that longer paths
imply, and colours. The pictures show the tops of two pages in Chromium: the report of a
finished `make demo`, which is left as it is if there is no such run, and the
leaderboard of a made-up class.
"""

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from shears.classroom.page import write_page
from shears.reporting.stages import Edge, without_implied
from shears.runtime.files import whole_file
from tests import ROOT
from tests.leaderboards import made_up_class
from tools.write_results import replace_part

README = ROOT / "README.md"
REPORT = ROOT / "demo/results/report.html"
PICTURE = ROOT / "docs/report.png"
LEADERBOARD_PICTURE = ROOT / "docs/leaderboard.png"
CHROMIUM = "/usr/bin/chromium"


def read_graph(mermaid: str) -> set[Edge]:
    """Reads the edges between rules from Snakemake's Mermaid chart."""
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", mermaid))
    edges = re.findall(r"(id\d+) --> (id\d+)", mermaid)
    return {(names[a], names[b]) for a, b in edges}


def draw_graph() -> str:
    """Draws the graph of rules as a Mermaid chart in Markdown."""
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    graph = subprocess.run(
        command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True
    )
    edges = read_graph(graph.stdout)
    kept = without_implied(edge for edge in edges if "all" not in edge)
    lines = [f"    {a} --> {b}" for a, b in sorted(kept)]
    lines.append("    prune_round -- next round --> prune_round")
    return "\n".join(["```mermaid", "flowchart TB", *lines, "```", ""])


def photograph(page_file: Path, picture: Path, height: int) -> None:
    """Takes a picture of the top of a page in Chromium, as PNG."""
    from playwright.sync_api import sync_playwright  # in requirements-browser.lock only

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1100, "height": height})
        page.emulate_media(color_scheme="light")
        page.goto(page_file.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        shot = Image.open(io.BytesIO(page.screenshot()))
        browser.close()
    with whole_file(picture) as file:
        # Few colours, and no dots to imitate others: half the bytes.
        few = shot.quantize(128, dither=Image.Dither.NONE)
        few.save(file, "PNG", optimize=True)


def photograph_leaderboard() -> None:
    """Takes a picture of the leaderboard of a made-up class of 40."""
    with tempfile.TemporaryDirectory() as folder:
        write_page(made_up_class(40), Path(folder) / "leaderboard.html")
        photograph(Path(folder) / "leaderboard.html", LEADERBOARD_PICTURE, 1980)


if __name__ == "__main__":
    with whole_file(README) as file:
        page = replace_part(README.read_text(encoding="utf-8"), "dag", draw_graph())
        file.write(page.encode())
    if REPORT.exists():
        photograph(REPORT, PICTURE, 1300)
    photograph_leaderboard()

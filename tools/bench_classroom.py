"""Times the leaderboard of a made-up class: a first run, and one with nothing new.

    python -m tools.bench_classroom --data ARCHIVE       500 students, in ten minutes

The students' networks are the reference submission with noise, every other one of them
dense: files of some 200 kB and of 5 MB, no two alike. The last lines compare the
leaderboard with `shears score` for some of them. Chromium, if `make test-browser` has
set it up, measures the page.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from shears.model.parameters import Parameters
from shears.runtime import machine
from shears.runtime.output import checked_output
from shears.weight_files.canonical import write_weights
from shears.weight_files.reader import read_weights_file
from tests import ROOT

REFERENCE = ROOT / "reference/my_model_weights.h5"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
NOISE = 0.1  # of each weight, relative; and of the dense networks' zeros, absolute
DENSE = 0.002


def make_class(folder: Path, students: int) -> None:
    """Writes a folder for each student with a file in it."""
    reference = read_weights_file(REFERENCE).parameters.vector
    for number in range(students):
        random = np.random.default_rng(number)
        draw = random.normal(size=(2, len(reference)))
        weights = reference * (1 + NOISE * draw[0])
        if number % 2:
            weights += DENSE * draw[1]
        place = folder / f"student {number:04}"
        place.mkdir(parents=True)
        write_weights(
            place / "my_model_weights.h5", Parameters(weights.astype(np.float32))
        )


def measure(command: list[str]) -> tuple[float, int]:
    """Runs a command.

    Returns:
        Seconds, and the most bytes that it and its children have taken together.
    """
    began, most = time.perf_counter(), 0
    process = psutil.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        taken = 0
        for part in (process, *process.children(recursive=True)):
            try:
                taken += part.memory_info().rss
            except psutil.Error:  # it has just ended
                continue
        most = max(most, taken)
        time.sleep(0.05)
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit code {process.returncode}")
    return time.perf_counter() - began, most


SORT = """title => new Promise(done => {
  const headers = [...document.querySelectorAll("#table thead th")];
  const start = performance.now();
  headers.find(one => one.textContent.includes(title)).querySelector(
    ".dt-column-order").click();
  requestAnimationFrame(() => setTimeout(
    () => done((performance.now() - start) / 1000)));
})"""


def measure_page(path: Path) -> str:
    """Opens a leaderboard in Chromium and sorts it."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return "not measured in Chromium: run make test-browser first"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        paint = page.evaluate(
            "performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000"
        )
        columns = ("name", "score", "when", "sparsity")
        slowest = max(page.evaluate(SORT, column) for column in columns)
        browser.close()
    return f"first paint {paint:.2f} s, the slowest of four sorts {slowest:.2f} s"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="CIFAR-10's archive")
    parser.add_argument("--students", type=int, default=500)
    parser.add_argument("--compared", type=int, default=6, help="with shears score")
    options = parser.parse_args()
    about = machine.describe()
    print(f"{about['cpu']}, {about['cores']} cores, commit {about['commit']}")
    with tempfile.TemporaryDirectory() as scratch:
        folder, output = Path(scratch, "class"), Path(scratch, "board")
        make_class(folder, options.students)
        shears = [sys.executable, "-m", "shears"]
        given = ["--data", options.data]
        for run in ("first", "again"):
            seconds, memory = measure(
                [*shears, "leaderboard", str(folder), "--output", str(output), *given]
            )
            print(
                f"{run}: {seconds:.1f} s for {options.students} students, at most "
                f"{memory >> 20:,} MiB",
                flush=True,
            )
        page = output / "leaderboard.html"
        print(f"page: {page.stat().st_size:,} bytes; {measure_page(page)}")
        board = json.loads((output / "leaderboard.json").read_text(encoding="utf-8"))
        rows = {row["name"]: row for row in board["students"]}
        for name in sorted(rows)[: options.compared]:
            file = folder / str(rows[name]["file"])
            answer = subprocess.run(
                [*shears, "score", str(file), *given, "--json"],
                cwd=ROOT,
                capture_output=True,
                check=True,
            )
            scored = json.loads(answer.stdout)
            print(f"{name}: {rows[name]['correct']} and {scored['correct']} correct")


if __name__ == "__main__":
    with checked_output():
        main()

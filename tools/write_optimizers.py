"""Writes the figures of docs/optimizers.md from the cells of the last finished run.

It also runs the benchmark of the optimizers; do nothing else on the machine meanwhile.
"""

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from shears.optimizer_study.plots import (
    plot_losses,
    plot_paths,
    plot_sensitivity,
    tabulate,
    winners,
)
from shears.optimizer_study.regression import DATA_SETS
from shears.optimizer_study.study import IMPLEMENTATIONS, METHODS, walk_valley
from shears.runtime.device import prepare
from shears.runtime.errors import plain_errors
from shears.runtime.files import read_json, whole_file
from shears.runtime.output import checked_output
from shears.runtime.paths import expand_of
from tools.write_results import job_costs, markdown_table, replace_part

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/optimizers.md"


def _or_never(value: float | None, form: str) -> str:
    return "never" if value is None else format(value, form)


def main() -> None:
    """Reads a run's folder and writes the tables and pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--run",
        type=partial(expand_of, "--run"),
        default=ROOT,
        help="folder of the run",
    )
    run = Path(parser.parse_args().run)
    if not (run / "results/optimizers/table.json").exists():
        print(f"{PAGE.name}: left as it is, no finished study in {run}")
        return
    cells = {
        data_set: {
            optimizer: {
                implementation: read_json(
                    run / f"results/optimizers/{data_set}/{optimizer}."
                    f"{implementation}.json"
                )
                for implementation in IMPLEMENTATIONS
            }
            for optimizer in METHODS
        }
        for data_set in DATA_SETS
    }
    all_cells = [
        cell
        for optimizers in cells.values()
        for pair in optimizers.values()
        for cell in pair.values()
    ]
    commits = {cell["machine"]["commit"] for cell in all_cells}
    if len(commits) > 1 or "+" in str(commits):
        sys.exit(f"cells of this run are from {commits}: make them at one commit")
    about = all_cells[0]["machine"]
    seconds, memory = job_costs(run / "benchmarks/optimizers")
    lines = tabulate(cells)
    table = markdown_table(
        "data set,optimizer,best rate,updates,epochs,time (ms),relative distance at "
        "the end,rates that diverge,updates (Keras),largest difference from "
        "Keras".split(","),
        [
            [
                line.data_set.replace("_", " "),
                line.optimizer,
                "all diverge"
                if line.learning_rate is None
                else f"{line.learning_rate:g}",
                _or_never(line.updates, ","),
                _or_never(line.epochs, ",.1f"),
                _or_never(line.milliseconds, ",.2f"),
                "" if line.distance is None else f"{line.distance:.2g}",
                str(line.diverged),
                _or_never(line.keras_updates, ","),
                f"{line.difference:.1g}",
            ]
            for line in lines
        ],
    )
    first = markdown_table(
        ["data set", "condition", "by updates", "by epochs", "by time"],
        [
            [
                row["data_set"].replace("_", " "),
                f"{cells[row['data_set']]['sgd']['ours']['condition']:,.0f}",
                *(row[key] for key in ("updates", "epochs", "milliseconds")),
            ]
            for row in winners(lines)
        ],
    )
    runs = sum(len(cell["runs"]) for cell in all_cells)
    updates = all_cells[0]["runs"][0]["updates"][-1]
    provenance = (
        f"{len(all_cells)} cells, {runs} runs of {updates:,} updates, {seconds:.0f} s "
        f"of job time, at most {memory:,.0f} MiB per job; n = 1, sample order "
        f"from seed 0. {about['cpu']}, {about['cores']} cores, "
        f"{about['system']}, Python {about['python']}, TensorFlow "
        f"{about['tensorflow']}, Keras {about['keras']}, commit {about['commit']}."
    )
    page = PAGE.read_text(encoding="utf-8")
    command = [sys.executable, "-m", "tools.bench_optimizers"]
    bench = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    parts = {
        "first": first,
        "table": f"{table}\n{provenance}\n",
        "bench": f"```\n{bench.stdout.decode()}```\n",
    }
    for name, content in parts.items():
        page = replace_part(page, name, content)
    with whole_file(PAGE) as file:
        file.write(page.encode())
    prepare(1)
    pictures: dict[str, Figure] = {
        "losses": plot_losses(cells),
        "sensitivity": plot_sensitivity(cells),
        "paths": plot_paths(walk_valley()),
    }
    for name, figure in pictures.items():
        figure.savefig(ROOT / f"docs/optimizers_{name}.png", dpi=90)


if __name__ == "__main__":
    with plain_errors(), checked_output():
        main()

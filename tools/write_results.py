"""Writes docs/results.md and docs/results.png from the last finished reproduction."""

import argparse
import csv
import re
import sys
from pathlib import Path

import yaml

from shears.files import read_csv, read_json, whole_file
from shears.report import Candidate, plot_scores

ROOT = Path(__file__).resolve().parents[1]
PAGE = """\
# Results of the reference run

Written by `make results` from the files of one run of `make reproduce`; n = 1 run, so
no spread can be given. {machine}.

{table}

The submission is **{chosen}**: {reason}.
On the 10,000 test images it has accuracy {accuracy:.4f}, sparsity {sparsity:.4f} and
score **{score:.4f}**. The score is computed in float32 from `my_model_weights.h5` alone
(sha256 `{sha256}`),
loaded by `load_weights` into the network built afresh.

![Score and accuracy against sparsity](results.png)

All stages took {minutes:.1f} minutes of their own time one after another, {others:.1f}
of them data, scoring, report and starting TensorFlow. The largest stage used
{memory:,.0f} MiB. Minutes in the table are those of training, data set in memory.

Share of each kernel that is kept:

{kept}
"""


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """Lays out a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def replace_part(page: str, name: str, content: str) -> str:
    """Replaces what stands between the marks `<!-- name -->` and `<!-- end -->`."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    new, count = re.subn(pattern, lambda m: m[1] + content + m[2], page, flags=re.S)
    if count != 1:
        raise SystemExit(f"the page has no part {name}")
    return new


def stage_costs(folder: Path) -> tuple[float, float]:
    """Reads Snakemake's benchmark files: seconds in all, largest memory in MiB."""
    rows = []
    for path in folder.glob("*.tsv"):
        with path.open() as file:
            rows += csv.DictReader(file, delimiter="\t")
    memory = [float(row["max_rss"]) for row in rows if row["max_rss"] != "NA"]
    return sum(float(row["s"]) for row in rows), max(memory)


def main() -> None:
    """Reads a run's folder and writes the page and its picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT, help="folder of the run")
    run = parser.parse_args().run
    results = run / "results"
    choice = read_json(results / "choice.json")
    manifest = read_json(results / "submission/manifest.json")
    config = yaml.safe_load((run / "config.yaml").read_text())
    rounds = len(config["pruning"]["rounds"])
    candidates = [
        Candidate(
            name,
            read_json(results / name / "score_validation.json"),
            read_json(results / name / "score_test.json"),
            read_json(results / name / "metrics.json"),
            read_csv(results / name / "history.csv"),
        )
        for name in ["baseline", *(f"round_{i + 1}" for i in range(rounds))]
    ]
    commits = {c.metrics["machine"]["commit"] for c in candidates}
    if len(commits) > 1 or "+" in str(commits):
        sys.exit(f"stages of this run were made at {commits}: make them at one commit")
    metrics = candidates[0].metrics
    about = metrics["machine"]
    seconds, memory = stage_costs(run / "benchmarks")
    training = sum(c.metrics["seconds"] for c in candidates)
    page = PAGE.format(
        machine=(
            f"{about['cpu']}, {about['cores']} cores, {about['system']}, "
            f"{metrics['device']}, {metrics['precision']}; seed {metrics['seed']}; "
            f"Python {about['python']}, TensorFlow {about['tensorflow']}; "
            f"commit {about['commit']}"
        ),
        table=markdown_table(
            "candidate,sparsity,zeros,validation accuracy,validation score,"
            "test accuracy,test score,epochs,minutes".split(","),
            [
                [
                    c.name.replace("_", " "),
                    f"{c.test['sparsity']:.4f}",
                    f"{c.test['zeros']:,}",
                    f"{c.validation['accuracy']:.4f}",
                    f"{c.validation['score']:.4f}",
                    f"{c.test['accuracy']:.4f}",
                    f"{c.test['score']:.4f}",
                    str(c.metrics["epochs"]),
                    f"{c.metrics['seconds'] / 60:.1f}",
                ]
                for c in candidates
            ],
        ),
        chosen=choice["candidate"].replace("_", " "),
        reason=choice["reason"],
        accuracy=manifest["test"]["accuracy"],
        sparsity=manifest["sparsity"],
        score=manifest["test"]["score"],
        sha256=manifest["sha256"],
        minutes=seconds / 60,
        others=(seconds - training) / 60,
        memory=memory,
        kept=markdown_table(
            ["candidate", *metrics["kernel_density"]],
            [
                [
                    c.name.replace("_", " "),
                    *(f"{kept:.4f}" for kept in c.metrics["kernel_density"].values()),
                ]
                for c in candidates
            ],
        ),
    )
    with whole_file(ROOT / "docs/results.md") as temporary:
        temporary.write_text(page)
    figure = plot_scores(candidates, choice["candidate"])
    figure.savefig(ROOT / "docs/results.png", dpi=120)


if __name__ == "__main__":
    main()

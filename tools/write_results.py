"""Writes docs/results.md and docs/results.png from the last finished reproduction."""

import argparse
import csv
import re
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from snakemake.utils import validate

from shears.config import candidates as candidates_of
from shears.files import read_csv, read_json, whole_file
from shears.report import Candidate, over_seeds, plot_scores, title

ROOT = Path(__file__).resolve().parents[1]
PAGE = """\
# Results of the reference run

Written by `make results` from the files of one run of `make reproduce`. {spread}
{machine}.

{table}
{teacher}
The submission is **{chosen}**: {reason}.
On the 10,000 test images it has accuracy {accuracy:.4f}, sparsity {sparsity:.4f} and
score **{score:.4f}**. The score is computed in float32 from `my_model_weights.h5` alone
(sha256 `{sha256}`),
loaded by `load_weights` into the network built afresh.

![Score and accuracy against sparsity](results.png)

All stages took {minutes:.1f} minutes of their own time one after another, {others:.1f}
of them data, a teacher's answers, scoring, report and starting TensorFlow. The largest
stage used {memory:,.0f} MiB. Minutes in the table are those of training, data set in
memory.

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
    for path in folder.rglob("*.tsv"):
        with path.open() as file:
            rows += csv.DictReader(file, delimiter="\t")
    memory = [float(row["max_rss"]) for row in rows if row["max_rss"] != "NA"]
    return sum(float(row["s"]) for row in rows), max(memory)


def mean(values: Sequence[float], form: str = ".4f") -> str:
    """Writes a mean, and the standard deviation where there are several values."""
    text = format(statistics.mean(values), form)
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):{form}}"
    return text


def about_the_teacher(metrics: Mapping) -> str:
    """Says what the teacher reached."""
    return (
        f"\nThe teacher ({metrics['parameters']:,} weights, batch norm, never "
        f"submitted) was trained for {metrics['epochs']} epochs in "
        f"{metrics['seconds'] / 60:.1f} minutes: validation accuracy "
        f"{metrics['validation_accuracy']:.4f} (batch norm by the batch).\n"
    )


def main() -> None:
    """Reads a run's folder and writes the page and its picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, default=ROOT, help="folder of the run")
    run = parser.parse_args().run
    results = run / "results"
    choice = read_json(results / "choice.json")
    manifest = read_json(results / "submission/manifest.json")
    config = yaml.safe_load((run / "config.yaml").read_text())
    validate(config, str(ROOT / "schemas/config.schema.yaml"))
    candidates = [
        Candidate(
            name,
            read_json(results / name / "score_validation.json"),
            read_json(results / name / "score_test.json"),
            read_json(results / name / "metrics.json"),
            read_csv(results / name / "history.csv"),
        )
        for name in candidates_of(config)
    ]
    path = results / "teacher/metrics.json"
    teachers = [read_json(path)] if path.exists() else []
    trained = [*teachers, *(c.metrics for c in candidates)]
    commits = {metrics["machine"]["commit"] for metrics in trained}
    if len(commits) > 1 or "+" in str(commits):
        sys.exit(f"stages of this run were made at {commits}: make them at one commit")
    metrics = candidates[0].metrics
    about = metrics["machine"]
    seconds, memory = stage_costs(run / "benchmarks")
    training = sum(metrics["seconds"] for metrics in trained)
    page = PAGE.format(
        machine=(
            f"{about['cpu']}, {about['cores']} cores, {about['system']}, "
            f"{metrics['device']}, {metrics['precision']}; seeds {config['seeds']}; "
            f"Python {about['python']}, TensorFlow {about['tensorflow']}; "
            f"commit {about['commit']}"
        ),
        table=markdown_table(
            "candidate,sparsity,zeros,validation accuracy,validation score,"
            "test accuracy,test score,epochs,minutes".split(","),
            [
                [
                    " ".join([kind, same[0].name.partition("/round_")[2]]).strip(),
                    f"{same[0].test['sparsity']:.4f}",
                    f"{same[0].test['zeros']:,}",
                    mean([c.validation["accuracy"] for c in same]),
                    mean([c.validation["score"] for c in same]),
                    mean([c.test["accuracy"] for c in same]),
                    mean([c.test["score"] for c in same]),
                    str(same[0].metrics["epochs"]),
                    mean([c.metrics["seconds"] / 60 for c in same], ".1f"),
                ]
                for kind, rounds in over_seeds(candidates).items()
                for same in rounds
            ],
        ),
        spread=(
            "n = 1, so no spread can be given."
            if len(config["seeds"]) == 1
            else f"n = {len(config['seeds'])} seeds: mean ± standard deviation."
        ),
        teacher="".join(map(about_the_teacher, teachers)),
        chosen=title(choice["candidate"]),
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
                    c.title,
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

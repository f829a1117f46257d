"""Writes docs/results.md and its figures from the finished runs that exist.

Each part of the page comes from one run's folder: the default run (`make reproduce`),
those of config/assignment.yaml, frontier.yaml, controls.yaml, ablation.yaml, rigl.yaml
and record.yaml, and `make bench-peer`. A part whose run does not exist is left as it
is. The default run's submission is copied to reference/.
"""

import argparse
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from shears.plan import Plan, plan
from shears.reporting.candidates import Candidate, mean_scores, over_seeds, title
from shears.reporting.charts import save_chart
from shears.reporting.stages import read_costs
from shears.runtime.files import read_csv, read_json, whole_file
from shears.runtime.output import checked_output
from tools.configuration import read_configuration

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/results.md"


class Run(NamedTuple):
    """A finished run.

    Attributes:
        folder: Where its results/ and benchmarks/ are.
        plan: The plan of its configuration.
        candidates: In the order of the workflow, baselines first.
        trained: Metrics of every trained network; the teacher's first, if there is one.
    """

    folder: Path
    plan: Plan
    candidates: list[Candidate]
    trained: list[Mapping[str, Any]]

    @classmethod
    def read(cls, name: str) -> "Run":
        """Reads a run, "" for the default one or the name of its configuration.

        Raises:
            SystemExit: It was made by uncommitted code.
        """
        folder = ROOT / name
        results = folder / "results"
        planned = plan(read_configuration(name))
        candidates = [
            Candidate(
                candidate,
                read_json(results / candidate / "score_validation.json"),
                read_json(results / candidate / "score_test.json"),
                read_json(results / candidate / "metrics.json"),
                read_csv(results / candidate / "history.csv"),
            )
            for candidate in planned.candidates
        ]
        teachers = sorted((results / "teacher").glob("seed_*/metrics.json"))
        trained = [read_json(teacher) for teacher in teachers]
        metrics = trained + [candidate.metrics for candidate in candidates]
        run = cls(folder, planned, candidates, metrics)
        if "+" in run.commits:
            raise SystemExit(
                f"{folder}: made by uncommitted code ({run.commits}): commit, and run "
                "again"
            )
        return run

    @property
    def commits(self) -> str:
        """The commits its networks were trained at; a rerun keeps older results."""
        return ", ".join(sorted({str(m["machine"]["commit"]) for m in self.trained}))

    @property
    def made(self) -> str:
        """Describes its seeds, machine, versions, commit and training time."""
        metrics, seeds = self.candidates[0].metrics, self.plan.config.seeds
        about = metrics["machine"]
        hours = sum(metrics["seconds"] for metrics in self.trained) / 3600
        spread = f"(seed {seeds[0]}), so there is no spread"
        if len(seeds) > 1:
            names = ", ".join(map(str, seeds))
            spread = f"(seeds {names}): mean ± standard deviation"
        commits = "commits" if ", " in self.commits else "commit"
        return (
            f"n = {len(seeds)} {spread}. "
            f"{about['cpu']}, {about['cores']} cores, {about['system']}, "
            f"{metrics['device']}, {metrics['precision']}; Python {about['python']}, "
            f"TensorFlow {about['tensorflow']}; {commits} {self.commits}; "
            f"{hours:.1f} hours of training, summed over all jobs.\n"
        )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lays out a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def replace_part(page: str, name: str, content: str) -> str:
    """Replaces the part between the marks `<!-- name -->` and `<!-- end -->`."""
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
    new, count = re.subn(pattern, lambda m: m[1] + content + m[2], page, flags=re.S)
    if count != 1:
        raise SystemExit(f"the page has no part {name}")
    return new


def job_costs(folder: Path) -> tuple[float, float]:
    """Reads Snakemake's benchmark files: total seconds, largest memory in MiB."""
    rows = read_costs(folder)
    memory = max(row["memory"] for row in rows if row["memory"])
    return sum(row["seconds"] for row in rows), memory


def mean(values: Sequence[float], form: str = ".4f") -> str:
    """Writes a mean, and the standard deviation where there are several values."""
    text = format(statistics.mean(values), form)
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):{form.removeprefix('+')}}"
    return text


def accuracies(same: Sequence[Candidate], split: str) -> list[float]:
    """Lists the accuracies of candidates that differ in their seed."""
    return [getattr(candidate, split)["accuracy"] for candidate in same]


def candidate_table(run: Run) -> str:
    """Tabulates the candidates; a row covers all seeds."""
    return markdown_table(
        "candidate,sparsity,zeros,training accuracy,validation accuracy,"
        "validation score,"
        "test accuracy,test score,epochs,minutes".split(","),
        [
            [
                " ".join([kind, same[0].name.partition("/round_")[2]]).strip(),
                f"{same[0].test['sparsity']:.4f}",
                f"{same[0].test['zeros']:,}",
                mean([c.validation["training_accuracy"] for c in same]),
                mean(accuracies(same, "validation")),
                mean([c.validation["score"] for c in same]),
                mean(accuracies(same, "test")),
                mean([c.test["score"] for c in same]),
                str(same[0].metrics["epochs"]),
                mean([c.metrics["seconds"] / 60 for c in same], ".1f"),
            ]
            for kind, rounds in over_seeds(run.candidates).items()
            for same in rounds
        ],
    )


def about_the_teacher(metrics: Mapping[str, Any]) -> str:
    """Describes the teacher."""
    return (
        f"The teacher ({metrics['parameters']:,} weights, batch norm, never "
        f"submitted) was trained for {metrics['epochs']} epochs in "
        f"{metrics['seconds'] / 60:.1f} minutes. Its validation accuracy is "
        f"{metrics['validation_accuracy']:.4f} (evaluated with batch statistics).\n\n"
    )


def about_the_refit(manifest: Mapping[str, Any]) -> str:
    """Describes the refit, if the submission is one."""
    if "refit" not in manifest:
        return ""
    refit = manifest["refit"]
    return (
        f"What is handed in is its refit on all {refit['images']:,} images, which "
        "inherits its place: the choice was made with "
        f"{refit['validation_images']:,} of them kept for validation. Without the "
        f"refit, the test score is {refit['candidate_test']['score']:.4f}.\n"
    )


def write_reproduction(run: Run) -> str:
    """Describes the results and the cost of a run like the default one."""
    choice = read_json(run.folder / "results/choice.json")
    manifest = read_json(run.folder / "results/submission/manifest.json")
    seconds, memory = job_costs(run.folder / "benchmarks")
    training = sum(metrics["seconds"] for metrics in run.trained)
    teachers = run.trained[: len(run.trained) - len(run.candidates)]
    kept = run.candidates[0].metrics["kernel_density"]
    logits = "teacher logits, " if teachers else ""
    part_a = "Part A, " if run.plan.config.optimizers.data_sets else ""
    return (
        f"{candidate_table(run)}\n{run.made}\n"
        f"{''.join(map(about_the_teacher, teachers))}"
        f"The submission is **{title(choice['candidate'])}**: {choice['reason']}.\n"
        f"{about_the_refit(manifest)}"
        "On the 10,000 test images it has accuracy "
        f"{manifest['test']['accuracy']:.4f}, sparsity {manifest['sparsity']:.4f} and\n"
        f"**score {manifest['test']['score']:.4f}**, computed in float32 from "
        "`my_model_weights.h5` alone\n"
        f"(sha256 `{manifest['sha256']}`),\n"
        "loaded with `load_weights` into a newly built network.\n\n"
        f"The job times add up to {seconds / 60:.1f} minutes, of which "
        f"{(seconds - training) / 60:.1f} went into data, {logits}{part_a}"
        "scoring, the report and starting TensorFlow. The largest job used "
        f"{memory:,.0f} MiB. The minutes in the table are for training only, with the "
        "data set in memory.\n\nFraction of each kernel that is kept:\n\n"
        + markdown_table(
            ["candidate", *kept],
            [
                [c.title, *(f"{d:.4f}" for d in c.metrics["kernel_density"].values())]
                for c in run.candidates
            ],
        )
    )


def write_reference(run: Run) -> str:
    """Describes the default run, and keeps its submission and a figure."""
    for source, target in (
        ("submission/my_model_weights.h5", "reference/my_model_weights.h5"),
        ("submission/manifest.json", "reference/manifest.json"),
        ("figures/histories.png", "docs/results.png"),
    ):
        content = (run.folder / "results" / source).read_bytes()
        with whole_file(ROOT / target) as file:
            file.write(content)
    return write_reproduction(run)


def write_frontier(run: Run) -> str:
    """Tabulates test accuracy by method and sparsity, and draws it."""
    groups = over_seeds(run.candidates)
    ways = {name: groups[name] for name in run.plan.methods}
    sparsities = [r.sparsity for r in run.plan.config.pruning.rounds]
    pruned = [c for c in run.candidates if "/round_" in c.name]
    save_chart(mean_scores(pruned, "accuracy"), ROOT / "docs/frontier.png")
    dense = [groups[name][0] for name in groups if name not in ways]
    return (
        markdown_table(
            ["method", *(f"{100 * sparsity:g} %" for sparsity in sparsities)],
            [
                [name.replace("_", " "), *(mean(accuracies(s, "test")) for s in rounds)]
                for name, rounds in ways.items()
            ],
        )
        + "\n![Test accuracy against sparsity](frontier.png)\n"
        "\nTest accuracy; the dense network has "
        f"{mean(accuracies(dense[0], 'test'))}. {run.made}"
    )


def total_epochs(run: Run, candidate: Candidate) -> int:
    """Counts the epochs that led to a candidate: its own and those before it."""
    name, seed, _ = candidate.name.split("/")
    method = run.plan.methods[name].settings
    if method.start == "initial":
        return candidate.metrics["epochs"]
    chains = [f"{method.baseline}/{seed}", f"{name}/{seed}"]
    number = [c.name for c in run.candidates].index(candidate.name)
    chain = [c for c in run.candidates[: number + 1] if c.chain in chains]
    return sum(c.metrics["epochs"] for c in chain)


def write_controls(run: Run) -> str:
    """Tabulates what LAMP's mask and a random one reach when trained from scratch."""
    rows = [
        [
            name.replace("_", " "),
            f"{100 * same[0].test['sparsity']:g} %",
            str(total_epochs(run, same[0])),
            mean(accuracies(same, "validation")),
            mean(accuracies(same, "test")),
        ]
        for name, rounds in over_seeds(run.candidates).items()
        if name in run.plan.methods
        for same in rounds
    ]
    header = "method,sparsity,total epochs,validation accuracy,test accuracy"
    return f"{markdown_table(header.split(','), rows)}\n{run.made}"


def write_ablation(run: Run) -> str:
    """Tabulates how each change affects accuracy, seed by seed, best first."""
    ways, groups = run.plan.methods, over_seeds(run.candidates)
    base = accuracies(groups["lamp"][0], "validation")
    rows = []
    for name, method in ways.items():
        same = groups[name][0]
        validation = accuracies(same, "validation")
        differences = [a - b for a, b in zip(validation, base, strict=True)]
        own = run.plan.config.methods[method.key].model_dump(exclude_unset=True)
        change = [f"{key}: {value}" for key, value in own.items()]
        cells = [
            name.replace("_", " "),
            ", ".join(change) or "none",
            mean(accuracies(groups[method.settings.baseline][0], "validation")),
            mean(validation),
            mean(differences, "+.4f"),
            mean(accuracies(same, "test")),
        ]
        rows.append((statistics.mean(differences), cells))
    rows.sort(key=lambda row: -row[0])
    header = (
        "method|change|validation accuracy, dense|validation accuracy, pruned|"
        "difference from lamp (validation)|test accuracy"
    )
    return (
        f"{markdown_table(header.split('|'), [cells for _, cells in rows])}\n{run.made}"
    )


PARTS: dict[str, tuple[str, Callable[[Run], str]]] = {
    "reference": ("", write_reference),
    "assignment": ("assignment", write_reproduction),
    "frontier": ("frontier", write_frontier),
    "controls": ("controls", write_controls),
    "ablation": ("ablation", write_ablation),
    "rigl": ("rigl", write_reproduction),
    "record": ("record", write_reproduction),
}


def write_peer(scores: Mapping[str, Any]) -> str:
    """Tabulates the results of `make bench-peer`."""
    about = scores["machine"]
    rows = [
        [
            name,
            f"{run[0]['sparsity']:.4f}",
            mean([r["accuracy"] for r in run]),
            mean([r["score"] for r in run]),
            mean([r["seconds"] / 60 for r in run], ".1f"),
        ]
        for name, run in scores["runs"].items()
    ]
    header = "trained and pruned by,sparsity,test accuracy,test score,minutes"
    return (
        f"{markdown_table(header.split(','), rows)}\n{scores['budget']}; "
        f"n = {len(next(iter(scores['runs'].values())))}. {about['cpu']}, "
        f"{about['cores']} cores, {about['system']}; commit {about['commit']}.\n"
    )


def main() -> None:
    """Replaces the parts of the page that have a finished run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    for part, (name, write) in PARTS.items():
        if (ROOT / name / "results/report.html").exists():
            page = replace_part(page, part, write(Run.read(name)))
        else:
            print(f"{part}: left as it is, no finished run in {ROOT / name}")
    peer = ROOT / "peer/scores.json"
    if peer.exists():
        page = replace_part(page, "peer", write_peer(read_json(peer)))
    with whole_file(PAGE) as file:
        file.write(page.encode())


if __name__ == "__main__":
    with checked_output():
        main()

"""Writes the HTML report."""

from typing import TYPE_CHECKING

from shears.reporting.report import Candidate, write_report
from shears.runtime.files import read_csv, read_json
from shears.runtime.job_log import stage

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def score_report(
    *, candidates: list[str], files: dict[str, list[str]], choice: str, **rest
) -> None:
    """Reads what the stages before have measured and renders it."""
    rows = zip(
        candidates,
        map(read_json, files["validation"]),
        map(read_json, files["test"]),
        map(read_json, files["metrics"]),
        map(read_csv, files["histories"]),
        files["weights"],
        files["answers"],
        strict=True,
    )
    write_report([Candidate(*row) for row in rows], read_json(choice), **rest)


if __name__ == "__main__":
    with stage("score_report", snakemake.log[0]):
        score_report(
            candidates=snakemake.params.candidates,
            files={
                kind: list(snakemake.input[kind])
                for kind in (
                    *("validation", "test", "metrics"),
                    *("histories", "weights", "answers"),
                )
            },
            choice=snakemake.input.choice,
            baselines=snakemake.params.baselines,
            manifest=snakemake.input.manifest,
            dataset=snakemake.input.dataset,
            study={
                name: snakemake.input[name]
                for name in ("table", "losses", "sensitivity", "paths")
                if name in snakemake.input.keys()
            },
            costs=snakemake.params.costs,
            config=snakemake.config,
            command=snakemake.params.command,
            template=snakemake.input.template,
            report=snakemake.output.report,
            figures=snakemake.output.figures,
        )

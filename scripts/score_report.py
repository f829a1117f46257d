"""Writes the score report: an HTML page and its figures."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from shears.reporting.candidates import Candidate
from shears.reporting.report import write_report
from shears.runtime.files import read_csv, read_json
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def read_candidates(
    names: Sequence[str], files: Mapping[str, Sequence[str]]
) -> list[Candidate]:
    """Reads each candidate's files; `files` has a list per kind, in their order."""
    rows = zip(
        names,
        map(read_json, files["validation"]),
        map(read_json, files["test"]),
        map(read_json, files["metrics"]),
        map(read_csv, files["histories"]),
        files["weights"],
        files["predictions"],
        strict=True,
    )
    return [Candidate(*row) for row in rows]


if __name__ == "__main__":
    with log_job("score_report", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        write_report(
            read_candidates(snakemake.params.candidates, snakemake.input),
            read_json(snakemake.input.choice),
            baselines=snakemake.params.baselines,
            manifest=snakemake.input.manifest,
            data_set=snakemake.config["data"]["name"],
            dataset=snakemake.input.dataset,
            study={
                name: snakemake.input[name]
                for name in ("table", "losses", "sensitivity", "paths")
                if name in snakemake.input.keys()
            },
            latency=snakemake.input.get("latency"),
            costs=snakemake.params.costs,
            config=snakemake.config,
            command=snakemake.params.command,
            template=snakemake.input.template,
            report=snakemake.output.report,
            configuration=snakemake.output.configuration,
            figures=snakemake.output.figures,
        )

"""Packages the chosen candidate under the submission's file name."""

from typing import TYPE_CHECKING

from shears.reporting.submission import package
from shears.runtime.files import read_json
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def package_submission(
    *,
    candidates: list[str],
    weights: list[str],
    scores: list[str],
    choice: str,
    submission: str,
    manifest: str,
    refit_weights: str | None = None,
    refit_score: str | None = None,
    all_images: int = 0,
) -> None:
    """Finds the chosen candidate's files, or its refit's, and packages them.

    Args:
        candidates: Their names.
        weights: Their weights files.
        scores: Their scores on the test images.
        choice: The choice.
        submission: The file to write.
        manifest: The JSON file to write.
        refit_weights: The refit of the chosen candidate, if there is one.
        refit_score: Its score on the test images.
        all_images: How many images it was trained on.
    """
    chosen = read_json(choice)
    index = candidates.index(chosen["candidate"])
    file, test, refit = weights[index], read_json(scores[index]), None
    if refit_weights and refit_score:
        refit = {
            "images": all_images,
            "validation_images": chosen["validation"]["images"],
            "candidate_test": {key: test[key] for key in ("accuracy", "score")},
        }
        file, test = refit_weights, read_json(refit_score)
    package(file, submission, manifest, choice=chosen, test=test, refit=refit)


if __name__ == "__main__":
    with log_job("package_submission", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        package_submission(
            candidates=snakemake.params.candidates,
            weights=snakemake.input.weights,
            scores=snakemake.input.scores,
            choice=snakemake.input.choice,
            refit_weights=snakemake.input.get("refit_weights"),
            refit_score=snakemake.input.get("refit_score"),
            all_images=snakemake.params.all_images,
            submission=snakemake.output.submission,
            manifest=snakemake.output.manifest,
        )

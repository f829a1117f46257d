"""Saves a baseline's logits for views of the training images, as its own teacher."""

from functools import partial
from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.data.views import ViewSettings
from shears.model.forward import logits
from shears.runtime.device import choose_precision, prepare
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record
from shears.training.soft_targets import compute_soft_targets, write_soft_targets
from shears.weight_files.canonical import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def save_baseline_logits(
    *,
    dataset: str,
    weights: str,
    teacher_logits: str,
    views: ViewSettings,
    numbers: range,
    precision: str,
) -> None:
    """Reads the baseline's weights and writes its logits for some views."""
    forward = partial(logits, read_weights(weights).vector)
    images = read_split(dataset, "train").images
    targets = compute_soft_targets(forward, images, views, numbers, precision=precision)
    write_soft_targets(teacher_logits, targets)


if __name__ == "__main__":
    with log_job(
        f"save_baseline_logits {snakemake.wildcards.baseline}", snakemake.log[0]
    ):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        prepare(snakemake.threads, snakemake.resources.gpu)
        settings = snakemake.params.settings
        save_baseline_logits(
            **snakemake.input,
            **snakemake.output,
            views=ViewSettings(**settings["views"]),
            numbers=range(*settings["numbers"]),
            precision=choose_precision(settings["precision"]),
        )

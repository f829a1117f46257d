"""Saves the teacher's logits for views of the training images."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.data.views import ViewSettings
from shears.model.teacher import Teacher, mean_logits
from shears.runtime.device import choose_precision, prepare
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record
from shears.training.soft_targets import compute_soft_targets, write_soft_targets

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def save_teacher_logits(
    *,
    dataset: str,
    teachers: Sequence[str],
    teacher_logits: str,
    views: ViewSettings,
    numbers: range,
    precision: str,
) -> None:
    """Loads the teachers and writes the mean of their logits for some views."""
    forward = partial(mean_logits, [Teacher.load(path) for path in teachers])
    images = read_split(dataset, "train").images
    targets = compute_soft_targets(forward, images, views, numbers, precision=precision)
    write_soft_targets(teacher_logits, targets)


if __name__ == "__main__":
    with log_job("save_teacher_logits", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        prepare(snakemake.threads, snakemake.resources.gpu)
        settings = snakemake.params.settings
        save_teacher_logits(
            **snakemake.input,
            **snakemake.output,
            views=ViewSettings(**settings["views"]),
            numbers=range(*settings["numbers"]),
            precision=choose_precision(settings["precision"]),
        )

"""Saves the teacher's logits for views of the training images."""

from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.data.views import ViewSettings
from shears.model.teacher import Teacher
from shears.runtime.device import prepare
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record
from shears.training.soft_targets import compute_soft_targets, write_soft_targets

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def save_teacher_logits(
    *, dataset: str, teacher: str, teacher_logits: str, views: ViewSettings
) -> None:
    """Loads the teacher and writes its logits."""
    images = read_split(dataset, "train").images
    forward = Teacher.load(teacher).forward
    write_soft_targets(teacher_logits, compute_soft_targets(forward, images, views))


if __name__ == "__main__":
    with log_job("save_teacher_logits", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        prepare(snakemake.threads, snakemake.resources.gpu)
        save_teacher_logits(
            **snakemake.input,
            **snakemake.output,
            views=ViewSettings(**snakemake.params.settings),
        )

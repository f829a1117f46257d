"""Asks the teacher what it sees in views of the training images."""

from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.model.teacher import Teacher
from shears.runtime.device import prepare
from shears.runtime.job_log import stage
from shears.training.soft_targets import ask, write_lessons

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def ask_teacher(
    *,
    dataset: str,
    teacher: str,
    lessons: str,
    settings: dict,
    threads: int,
    gpus: int,
) -> None:
    """Writes the teacher's answers."""
    prepare(threads, gpus)
    images = read_split(dataset, "train").images
    write_lessons(lessons, ask(Teacher.load(teacher).forward, images, **settings))


if __name__ == "__main__":
    with stage("ask_teacher", snakemake.log[0]):
        ask_teacher(
            **dict(snakemake.input.items()),
            **dict(snakemake.output.items()),
            settings=snakemake.params.settings,
            threads=snakemake.threads,
            gpus=snakemake.resources.gpu,
        )

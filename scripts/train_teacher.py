"""Trains the teacher, a stronger network that students are distilled from."""

from functools import partial
from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.model import teacher
from shears.runtime.device import prepare
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record
from shears.training.history import save_metrics
from shears.training.loop import train
from shears.training.recipe import Recipe
from shears.training.run_context import RunContext, start_run
from shears.training.trainer import TrainedForm

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def train_teacher(
    recipe: Recipe,
    width: float,
    context: RunContext,
    *,
    dataset: str,
    teacher_file: str,
    history: str,
    metrics: str,
) -> None:
    """Trains the teacher and measures its batch norm's statistics."""
    training = read_split(dataset, "train")
    filters = teacher.whitening_filters(training.images)
    forward = partial(teacher.logits, filters=filters, width=width)
    vector, rows = train(
        teacher.initial_vector(context.seed, width),
        TrainedForm(
            forward, lambda vector: vector, forward, teacher.kernel_mask(width)
        ),
        training,
        read_split(dataset, "validation"),
        recipe,
        context,
    )
    statistics = teacher.measure_statistics(
        vector,
        training,
        filters=filters,
        width=width,
        crop=recipe.crop,
        flip=recipe.flip,
        seed=context.seed,
    )
    teacher.Teacher(vector, filters, width, statistics).save(teacher_file)
    save_metrics(history, metrics, rows, context, {"parameters": len(vector)})


if __name__ == "__main__":
    with log_job("train_teacher", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        device = prepare(snakemake.threads, snakemake.resources.gpu)
        train_teacher(
            Recipe(**snakemake.params.settings["recipe"]),
            snakemake.params.settings["width"],
            start_run(
                device,
                snakemake.input,
                snakemake.log[0] if snakemake.config["tensorboard"] else None,
                **snakemake.params,
            ),
            **snakemake.input,
            teacher_file=snakemake.output.teacher,
            history=snakemake.output.history,
            metrics=snakemake.output.metrics,
        )

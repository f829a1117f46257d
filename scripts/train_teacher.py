"""Trains a stronger network that others learn from."""

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from shears.data.dataset import read_split
from shears.model import teacher
from shears.runtime import machine
from shears.runtime.files import write_csv, write_json
from shears.runtime.job_log import stage
from shears.training.loop import train
from shears.training.recipe import Recipe
from shears.training.run_context import begin

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def train_teacher(
    inputs: dict[str, str], outputs: dict[str, str], settings: dict, **how
) -> None:
    """Trains the teacher and measures what its batch norm is to use."""
    device, options = begin(inputs, settings, **how)
    recipe, width = Recipe(**settings["recipe"]), settings["width"]
    training = read_split(inputs["dataset"], "train")
    vector, rows = train(
        teacher.initial_vector(settings["seed"], width),
        training,
        read_split(inputs["dataset"], "validation"),
        recipe,
        forward=partial(teacher.logits, width=width),
        **options,
    )
    statistics = teacher.measure_statistics(
        vector,
        training,
        width=width,
        crop=recipe.crop,
        flip=recipe.flip,
        seed=settings["seed"],
    )
    teacher.Teacher(vector, width, statistics).save(outputs["teacher"])
    write_csv(outputs["history"], rows)
    write_json(
        outputs["metrics"],
        {
            "epochs": len(rows),
            "parameters": len(vector),
            "seed": settings["seed"],
            "device": device,
            "precision": options["precision"],
            "seconds": rows[-1]["seconds"],
            "images_per_second": float(
                np.median([row["images_per_second"] for row in rows[1:] or rows])
            ),
            "validation_accuracy": rows[-1]["validation_accuracy"],
            "machine": machine.describe(),
        },
    )


if __name__ == "__main__":
    with stage("train_teacher", snakemake.log[0]):
        train_teacher(
            dict(snakemake.input.items()),
            dict(snakemake.output.items()),
            snakemake.params.settings,
            code=snakemake.params.code,
            checkpoint=snakemake.params.checkpoint,
            threads=snakemake.threads,
            gpus=snakemake.resources.gpu,
            log=snakemake.log[0],
            # Not a parameter of the rule: wanting event files must not retrain.
            tensorboard=snakemake.config["tensorboard"],
        )

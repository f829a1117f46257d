"""Scores a candidate by the assignment's formula, on validation and test images."""

from typing import TYPE_CHECKING

import numpy as np

from shears.data.dataset import Split, read_split
from shears.evaluation.grading import BATCH, GradedNetwork
from shears.inference.compaction import check_equivalence, compact
from shears.runtime.device import prepare
from shears.runtime.files import write_csv, write_json
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

TRAINING_IMAGES = 10_000  # that training accuracy is measured on


def score_candidate(
    *,
    weights: str,
    dataset: str,
    validation: str | None = None,
    test: str,
    predictions: str,
) -> None:
    """Writes a JSON file per split, and the prediction for each test image.

    The validation file also has the multiply-adds that are left in the compacted
    network, and the accuracy on training images as they are, neither shifted nor
    mirrored: what validation accuracy falls short of it is overfitting. Without that
    file, the network has been trained on the validation images.
    """
    network = GradedNetwork.from_file(weights)
    if validation:
        images = read_split(dataset, "validation")
        result, _ = network.score(images)
        compacted = compact(network.parameters)
        some = images.images[:BATCH].astype(np.float32) / 255
        check_equivalence(compacted, network.parameters, some)
        left = compacted.multiply_adds_left
        seen = read_split(dataset, "train")
        seen = Split(seen.images[:TRAINING_IMAGES], seen.labels[:TRAINING_IMAGES])
        training, _ = network.score(seen)
        about = {"multiply_adds": left, "training_accuracy": training["accuracy"]}
        write_json(validation, {**result, **about})
    images = read_split(dataset, "test")
    result, classes = network.score(images)
    write_json(test, result)
    pairs = zip(images.labels.tolist(), classes.tolist(), strict=True)
    rows = ({"label": label, "prediction": class_} for label, class_ in pairs)
    write_csv(predictions, rows)


if __name__ == "__main__":
    with log_job(f"score_candidate {snakemake.wildcards.candidate}", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        prepare(snakemake.threads)
        score_candidate(**snakemake.input, **snakemake.output)

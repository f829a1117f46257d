"""Compares methods with the first one, image by image, on the validation images."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from shears.data.dataset import Split, read_split
from shears.evaluation.grading import BATCH
from shears.evaluation.paired import (
    Outcomes,
    compare_methods,
    describe,
    measure_outcomes,
)
from shears.model.forward import logits
from shears.runtime.backend import tf
from shears.runtime.device import prepare
from shears.runtime.files import write_csv
from shears.runtime.job_log import log_job
from shears.runtime.job_record import write_record
from shears.weight_files.canonical import read_weights

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake

log = logging.getLogger("shears.trial")


def measure_network(weights: str, data: Split) -> Outcomes:
    """Computes a network's outcomes, in float32."""
    vector = tf.constant(read_weights(weights).vector)
    batches = [
        logits(vector, tf.cast(data.images[start : start + BATCH], tf.float32) / 255)
        for start in range(0, len(data.labels), BATCH)
    ]
    return measure_outcomes(np.concatenate([b.numpy() for b in batches]), data.labels)


def trial(
    *, methods: Sequence[str], networks: Sequence[str], dataset: str, verdict: str
) -> None:
    """Writes the comparison as a table, and prints it.

    Args:
        methods: Their names; the others are compared with the first.
        networks: The weights files, method by method, in the same order of seeds.
        dataset: The prepared data; only its validation images are read.
        verdict: The CSV file.
    """
    data = read_split(dataset, "validation")
    outcomes = [measure_network(path, data) for path in networks]
    seeds = len(networks) // len(methods)
    rows = compare_methods(
        {name: outcomes[i * seeds : (i + 1) * seeds] for i, name in enumerate(methods)}
    )
    write_csv(verdict, rows)
    for line in describe(rows).splitlines():
        log.info("%s", line)


if __name__ == "__main__":
    with log_job("trial", snakemake.log[0]):
        write_record(
            snakemake.rule, snakemake.params, snakemake.input, snakemake.output
        )
        prepare(snakemake.threads)
        trial(
            methods=snakemake.params.methods,
            networks=list(snakemake.input.networks),
            dataset=snakemake.input.dataset,
            verdict=snakemake.output.verdict,
        )

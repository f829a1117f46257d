"""Trains a dense network that is pruned."""

from typing import TYPE_CHECKING

from shears.data.dataset import read_split
from shears.model.architecture import initial_weights
from shears.runtime.job_log import stage
from shears.training.loop import train_network
from shears.training.outputs import save_candidate
from shears.training.recipe import Recipe
from shears.training.run_context import begin
from shears.training.soft_targets import read_lessons

if TYPE_CHECKING:
    from snakemake.iocontainers import snakemake


def train_baseline(
    inputs: dict[str, str], outputs: dict[str, str], settings: dict, **how
) -> None:
    """Trains from the initial weights and writes the candidate."""
    device, options = begin(inputs, settings, **how)
    training = read_split(inputs["dataset"], "train")
    trained, rows = train_network(
        initial_weights(settings["seed"]),
        training,
        read_split(inputs["dataset"], "validation"),
        Recipe(**settings["recipe"]),
        lessons=read_lessons(inputs.get("lessons"), len(training.labels)),
        **options,
    )
    save_candidate(
        trained,
        rows,
        **outputs,
        device=device,
        precision=options["precision"],
        seed=settings["seed"],
    )


if __name__ == "__main__":
    with stage(f"train_baseline {snakemake.wildcards.baseline}", snakemake.log[0]):
        train_baseline(
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

"""What all stages that train share: device, precision, resuming."""

from collections.abc import Mapping
from pathlib import Path

from shears.runtime.device import choose_precision, prepare
from shears.training.checkpoint import Checkpoint, stage_key


def begin(
    inputs: Mapping[str, str],
    settings: Mapping,
    *,
    code: str,
    checkpoint: str,
    threads: int,
    gpus: int,
    log: str,
    tensorboard: bool,
) -> tuple[str, dict]:
    """Sets TensorFlow up and finds where training is resumed from.

    Args:
        inputs: The stage's input files by name.
        settings: What it is trained with; "precision" and "seed" among it.
        code: What its code does (`shears.runtime.code_digest.code_digest`).
        checkpoint: The state file.
        threads: Threads that compute on the CPU.
        gpus: GPUs that the stage was given.
        log: The log; event files stand beside it.
        tensorboard: Whether event files are wanted.

    Returns:
        The device's name, and what `shears.training.loop.train` wants to be told.
    """
    device = prepare(threads, gpus)
    precision = choose_precision(settings["precision"])
    files = [inputs[name] for name in sorted(inputs)]
    known = {"names": sorted(inputs), "precision": precision, "code": code}
    return device, {
        "precision": precision,
        "seed": settings["seed"],
        "checkpoint": Checkpoint(checkpoint, stage_key(files, {**settings, **known})),
        "tensorboard": Path(log).with_suffix(".tensorboard") if tensorboard else None,
    }

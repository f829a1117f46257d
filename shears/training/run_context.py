"""What every training job needs besides its data: device, precision, checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shears.runtime.device import choose_precision, prepare
from shears.training.checkpoint import Checkpoint, checkpoint_key


@dataclass(frozen=True)
class RunContext:
    """How and where a training runs.

    Attributes:
        precision: "float32" or "bfloat16", of the forward and backward pass.
        seed: Seed of the order of images, augmentation and dropout.
        device: The name of the GPU, or "cpu".
        checkpoint: Where the state is saved after each epoch and resumed from.
        tensorboard: Folder for event files, if they are wanted.
    """

    precision: str
    seed: int
    device: str = "cpu"
    checkpoint: Checkpoint | None = None
    tensorboard: Path | None = None


def start_run(
    inputs: Mapping[str, str],
    *,
    settings: Mapping,
    code: str,
    checkpoint: str,
    threads: int,
    gpus: int,
    log: str,
    tensorboard: bool,
) -> RunContext:
    """Sets TensorFlow up and finds the checkpoint that a training resumes from.

    Args:
        inputs: The job's input files by name.
        settings: What the job is told, anything JSON holds: "precision", "seed" and
            whatever else its result depends on.
        code: Digest of the job's code (`code_digest`).
        checkpoint: The checkpoint's file.
        threads: Threads that compute on the CPU.
        gpus: GPUs that the job was given.
        log: The job's log; event files stand beside it.
        tensorboard: Whether event files are wanted.
    """
    device = prepare(threads, gpus)
    precision = choose_precision(settings["precision"])
    names = sorted(inputs)
    key = checkpoint_key(
        [inputs[name] for name in names],
        {**settings, "names": names, "precision": precision, "code": code},
    )
    return RunContext(
        precision=precision,
        seed=settings["seed"],
        device=device,
        checkpoint=Checkpoint(checkpoint, key),
        tensorboard=Path(log).with_suffix(".tensorboard") if tensorboard else None,
    )

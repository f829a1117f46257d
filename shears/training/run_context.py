"""What every training job needs besides data: device, precision, checkpoint."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shears.runtime.device import choose_precision
from shears.training.checkpoint import Checkpoint, checkpoint_key


@dataclass(frozen=True)
class RunContext:
    """How and where training runs.

    Attributes:
        precision: "float32" or "bfloat16", of the forward and backward pass.
        seed: Seed of the order of images, augmentation and dropout.
        device: The name of the GPU, or "cpu".
        checkpoint: Saves the state after each epoch; training resumes from it.
        tensorboard: Folder for TensorBoard event files, if any are written.
    """

    precision: str
    seed: int
    device: str = "cpu"
    checkpoint: Checkpoint | None = None
    tensorboard: Path | None = None


def start_run(
    device: str,
    inputs: Mapping[str, str | Path | Sequence[str]],
    event_log: str | Path | None,
    *,
    settings: Mapping[str, Any],
    code: str,
    checkpoint: str | Path,
) -> RunContext:
    """Chooses the precision and the checkpoint that training resumes from.

    Args:
        device: The name of the GPU, or "cpu" (`device.prepare`).
        inputs: The job's input files by name, or lists of them.
        event_log: The job's log, to write event files beside it; None for none. It is
            not among the settings: event files change no result.
        settings: The job's settings, anything that JSON can hold: "precision", "seed"
            and whatever else its result depends on.
        code: Digest of the job's code (`code_digest.code_digest`).
        checkpoint: The checkpoint's file.
    """
    precision = choose_precision(settings["precision"])
    names = sorted(inputs.keys())
    files: list[str | Path] = []
    for name in names:
        value = inputs[name]
        files += [value] if isinstance(value, str | Path) else value
    key = checkpoint_key(files, settings, code, names=names, precision=precision)
    return RunContext(
        precision=precision,
        seed=settings["seed"],
        device=device,
        checkpoint=Checkpoint(checkpoint, key),
        tensorboard=Path(event_log).with_suffix(".tensorboard") if event_log else None,
    )

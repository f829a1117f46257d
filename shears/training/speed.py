"""The speed of training on this machine, from about a second of real training steps.

TensorFlow is started in another process, so that whoever asks stays small.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shears.runtime.errors import UserError, brief
from shears.training.recipe import Recipe

SECONDS = 1.0  #: of steps that are measured, after the step is compiled
LONGEST = 300  # seconds, for a machine on which nothing moves


@dataclass(frozen=True)
class Step:
    """A training step.

    Attributes:
        recipe: How weights are trained.
        precision: "float32", "bfloat16" or "auto".
        width: The teacher's width, if it is the teacher that is trained.
        distilled: Whether the loss has a teacher's soft targets.
    """

    recipe: Recipe
    precision: str = "auto"
    width: float | None = None
    distilled: bool = False

    def to_request(self) -> dict[str, Any]:
        """Returns what JSON can hold of it."""
        return {**asdict(self), "recipe": self.recipe.model_dump(mode="json")}


class StepTime(NamedTuple):
    """How long a step takes.

    Attributes:
        compiling: Seconds until the first steps are done.
        per_image: Seconds for an image of a later step.
    """

    compiling: float
    per_image: float


def measure(
    steps: Sequence[Step], *, threads: int, gpus: int = 0, seconds: float = SECONDS
) -> tuple[float, list[StepTime]]:
    """Measures training steps on random images, one after another.

    Args:
        steps: The steps.
        threads: CPU threads to compute with.
        gpus: GPUs that a training job has.
        seconds: How long each is measured.

    Returns:
        Seconds that TensorFlow took to start, and the time of each step.

    Raises:
        UserError: The measurement failed.
    """
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    request = {
        "steps": [step.to_request() for step in steps],
        "threads": threads,
        "gpus": gpus,
        "seconds": seconds,
        "asked": time.monotonic(),
    }
    try:
        run = subprocess.run(
            [sys.executable, "-P", "-m", "shears.training.step_time"],
            input=json.dumps(request),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=LONGEST,
        )
        answer = json.loads(run.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        printed = str(error)
        if isinstance(error, ValueError):  # it ended without an answer
            lines = run.stderr.strip().splitlines()
            printed = lines[-1] if lines else f"exit {run.returncode}"
        raise UserError(
            f"the training step could not be measured: {brief(printed)}"
        ) from error
    return answer["start"], [StepTime(*each) for each in answer["times"]]

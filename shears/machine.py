"""What the work runs on: device, precision, versions, commit."""

import logging
import os
import platform
import subprocess
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

log = logging.getLogger(__name__)


def prepare_device(threads: int | None = None) -> str:
    """Sets TensorFlow up for one stage; call it before any tensor is made.

    Args:
        threads: Threads of an operation on the CPU; None for all cores.

    Returns:
        "gpu" when TensorFlow sees one, else "cpu".
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads or 0)
    # Same machine and configuration, same bytes: no op may depend on thread timing.
    tf.config.experimental.enable_op_determinism()
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return "gpu" if gpus else "cpu"


def _cpu_fields() -> dict[str, str]:
    """Reads the first processor's fields where the system tells them (Linux)."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def choose_precision(setting: str) -> str:
    """Turns the setting into what the forward and backward pass compute in.

    Args:
        setting: "auto", "float32" or "bfloat16".

    Returns:
        For "auto": "bfloat16" where the hardware has instructions for it (a processor
        with AVX512_BF16 or AMX, a GPU of compute capability 8 or more), because
        elsewhere it is slower; else "float32".
    """
    if setting != "auto":
        return setting
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get(
            "compute_capability", (0, 0)
        )
        return "bfloat16" if capability >= (8, 0) else "float32"
    flags = _cpu_fields().get("flags", "").split()
    gains = {"avx512_bf16", "amx_bf16"} & set(flags)
    return "bfloat16" if gains else "float32"


def describe() -> dict:
    """Describes the machine and the software, for metrics and results pages."""
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(g)["device_name"] for g in gpus]
    cpu = _cpu_fields().get("model name") or platform.processor() or platform.machine()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "gpu": names,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "commit": commit(),
    }


def commit() -> str | None:
    """Names the repository's commit, with "+" behind it if tracked files differ."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", here, *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None

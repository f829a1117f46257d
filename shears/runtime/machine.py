"""What a job ran on: machine, versions, commit."""

import os
import platform
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def cpu_fields() -> dict[str, str]:
    """Reads the first processor's fields where the system reports them (Linux)."""
    try:
        fields = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    first = fields.split("\n\n")[0]
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def find_gpus() -> int:
    """Returns how many GPUs of this machine a training job can have to itself.

    Returns:
        1 if there are GPUs and the libraries to use them; else 0.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    present = any(Path("/proc/driver/nvidia/gpus").glob("*")) and not hidden
    return int(present and find_spec("nvidia") is not None)


def count_cores() -> int:
    """Returns how many cores this process may use, as taskset and Slurm limit it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS, Windows


def describe() -> dict[str, Any]:
    """Describes the machine and the software, for metrics and result pages."""
    cpu = cpu_fields().get("model name") or platform.processor() or platform.machine()
    return {
        "cpu": cpu,
        "cores": count_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: version(name) for name in ("tensorflow", "keras", "numpy", "h5py")},
        "commit": commit(),
    }


def commit() -> str | None:
    """Returns the repository's commit, with "+" after it if tracked files differ."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", here, *arguments],
            capture_output=True,
            check=True,
            encoding="utf-8",
            errors="replace",
        ).stdout.strip()

    try:
        dirty = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None

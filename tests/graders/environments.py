"""Genuine TensorFlow versions, and nbgrader, each installed once from its lock file.

They are in .venv-graders/. One that cannot be installed, such as TensorFlow 2.2 without
Python 3.8, is skipped with the reason.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

# By name: its Python (None: this one), and whether to set TF_USE_LEGACY_KERAS.
GRADERS = {
    "tensorflow-2.2": ("3.8", False),
    "tensorflow-2.15": ("3.11", False),
    "tf_keras": (None, True),
    "keras": (None, False),
}


def find_python(version: str) -> str | None:
    """Finds a Python of a version, on the path or in pyenv."""
    on_path = shutil.which(f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    others = sorted(pyenv.glob(f"{version}.*/bin/python"))
    for candidate in [*filter(None, [on_path]), *map(str, others)]:
        run = subprocess.run([candidate, "-V"], capture_output=True, encoding="utf-8")
        if run.returncode == 0 and f"Python {version}." in run.stdout:
            return candidate
    return None


def install(name: str) -> tuple[str, dict[str, str]]:
    """Installs a grader if necessary; returns its Python and environment variables."""
    version, legacy = GRADERS.get(name, (None, False))
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    lock = ROOT / f"envs/graders/{name}.lock"
    if not lock.exists():
        return sys.executable, environment
    place = ROOT / ".venv-graders" / name
    ready = place / "installed"
    fresh = ready.exists() and ready.read_bytes() == lock.read_bytes()
    pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--require-hashes", "-r", str(lock)]
    if version is None:
        if not fresh:
            shutil.rmtree(place, ignore_errors=True)
            command = [sys.executable, *pip, "--no-deps", "--target", str(place)]
            subprocess.run(command, check=True)
            shutil.copyfile(lock, ready)
        environment["PYTHONPATH"] = str(place)
        return sys.executable, environment | {"TF_USE_LEGACY_KERAS": str(int(legacy))}
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        pytest.skip(f"{name} has no packages for {platform.platform()}")
    python = find_python(version)
    if python is None:
        pytest.skip(f"found no Python {version}, and {name} runs on no newer one")
    if not fresh:
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(place)], check=True)
        subprocess.run([str(place / "bin/python"), *pip], check=True)
        shutil.copyfile(lock, ready)
    return str(place / "bin/python"), environment

"""The packaged file in genuine TensorFlow versions, old and new. `make test-graders`.

Each is installed once from its lock file into .venv-graders/. One that cannot be
installed, such as TensorFlow 2.2 without Python 3.8, is skipped with the reason.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shears.weight_files.canonical import read_weights, write_weights
from tests.conftest import make_parameters

ROOT = Path(__file__).parents[2]
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
        run = subprocess.run([candidate, "-V"], capture_output=True, text=True)
        if run.returncode == 0 and f"Python {version}." in run.stdout:
            return candidate
    return None


def install(name: str) -> tuple[str, dict[str, str]]:
    """Installs a grader if necessary; returns its Python and environment variables."""
    version, legacy = GRADERS[name]
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


@pytest.fixture(scope="module")
def submissions(tmp_path_factory):
    """Writes a weights file and images; adds the reference run's weights file."""
    folder = tmp_path_factory.mktemp("graders")
    write_weights(folder / "written.h5", make_parameters(0, zeros=0.98))
    files = [folder / "written.h5", *ROOT.glob("reference/my_model_weights.h5")]
    images = np.random.default_rng(0).random((16, 32, 32, 3)).astype(np.float32)
    np.save(folder / "images.npy", images)
    return folder, files


def load(name: str, file: Path, folder: Path) -> dict[str, np.ndarray]:
    """Loads a file with a grader; returns its weights and outputs."""
    python, environment = install(name)
    target = folder / f"{name}.npz"
    command = [python, "tests/graders/load.py", file, folder / "images.npy", target]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    with np.load(target) as outputs:
        return dict(outputs)


@pytest.mark.parametrize("name", GRADERS)
def test_both_ways_of_loading_give_every_bit_and_the_same_predictions(
    submissions, name
):
    folder, files = submissions
    for file in files:
        expected = load("keras", file, folder)["load_weights"]
        actual = load(name, file, folder)
        for way in ("load_weights", "load_model"):
            for i, array in enumerate(read_weights(file).arrays):
                assert actual[f"{way}_{i:02}"].tobytes() == array.tobytes()
            # Versions sum in different orders, so outputs are equal up to rounding.
            np.testing.assert_allclose(actual[way], expected, rtol=1e-4, atol=1e-6)
            np.testing.assert_array_equal(actual[way].argmax(1), expected.argmax(1))

"""The import of TensorFlow, with a package in its place that is as noisy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

NOISY = """
import os
os.write(2, b"a message of its C++ code")
class config:
    def list_physical_devices():
        os.write(2, b"another message")
"""
IMPORT = """
import os, sys
from shears.runtime.backend import tf
print(os.environ["TF_CPP_MIN_LOG_LEVEL"], tf.__name__)
sys.stderr.write("shown")
"""


def import_it(folder: Path, package: str, **environment: str):
    """Imports the backend in another process, where `package` is TensorFlow."""
    (folder / "tensorflow.py").write_text(package, encoding="utf-8")
    inherited = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    path = os.pathsep.join((str(folder), str(ROOT)))
    return subprocess.run(
        [sys.executable, "-c", IMPORT],
        cwd=folder,
        env={**inherited, "PYTHONPATH": path, **environment},
        capture_output=True,
        encoding="utf-8",
    )


def test_its_messages_are_held_back_and_later_ones_are_not(tmp_path):
    ran = import_it(tmp_path, NOISY)
    assert (ran.returncode, ran.stderr) == (0, "shown")
    assert ran.stdout == "2 tensorflow\n"


def test_a_log_level_that_is_set_is_kept(tmp_path):
    assert import_it(tmp_path, NOISY, TF_CPP_MIN_LOG_LEVEL="0").stdout[0] == "0"


@pytest.mark.parametrize("where", ["while it is imported", "in its devices"])
def test_if_it_fails_everything_is_shown(tmp_path, where):
    fault = "    raise ImportError('no such library')\n"
    indent = "    " if where == "in its devices" else "if True:\n"
    ran = import_it(tmp_path, NOISY + indent + fault)
    assert ran.returncode == 1
    assert "a message of its C++ code" in ran.stderr
    assert "ImportError: no such library" in ran.stderr


def test_keras_is_imported_when_it_is_used():
    code = """
import sys
from shears.runtime.backend import tf
assert not {"keras", "sklearn", "matplotlib", "pandas"} & sys.modules.keys()
model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1)])
assert sys.modules["keras"].__version__ and model.count_params() == 3
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

"""The environment that make sets up; nothing is downloaded for it here."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.workflow.project import make_environment

# Stands for pip: installs a Snakemake that only says where it runs.
PIP = """
import pathlib
import sys

script = pathlib.Path(sys.prefix, "bin/snakemake")
script.write_text(f"#!{sys.executable}\\nimport sys\\nprint('runs in', sys.prefix)\\n")
script.chmod(0o755)
"""
PYTHON = """#!/bin/sh
if [ "$2" = venv ]; then
  {python} -m venv --without-pip "$3"
  cp {pip} "$3"/lib/python*/site-packages
else
  exec {python} "$@"
fi
"""

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make here")


@pytest.fixture
def clone(tmp_path) -> Path:
    """A folder with the Makefile, in which `make demo` has run."""
    folder = tmp_path / "clone"
    (folder / "envs").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "envs/requirements.lock").touch()
    pip = tmp_path / "pip.py"
    pip.write_text(PIP, encoding="utf-8")
    base = Path(sys.base_prefix, f"bin/python3.{sys.version_info.minor}")
    python = tmp_path / "python"
    python.write_text(PYTHON.format(python=base, pip=pip), encoding="utf-8")
    python.chmod(0o755)
    assert "Installing the packages" in demo(folder)
    return folder


def demo(folder: Path) -> str:
    """Runs `make demo`, whose Snakemake must run in this folder; returns the output."""
    result = subprocess.run(
        ["make", "demo", f"PYTHON={folder.parent}/python"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=make_environment(),
    )
    assert result.returncode == 0, result.stdout
    assert f"runs in {folder}/.venv\n" in result.stdout
    return result.stdout


def test_an_environment_is_made_once(clone):
    assert "Installing" not in demo(clone)


def test_two_makes_at_once_install_once(clone):
    shutil.rmtree(clone / ".venv")
    command = ["make", "demo", f"PYTHON={clone.parent}/python"]
    runs = [
        subprocess.Popen(
            command,
            cwd=clone,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            env=make_environment(),
        )
        for _ in range(3)
    ]
    printed = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], printed
    assert sum("Installing the packages" in text for text in printed) == 1
    assert all("runs in" in text for text in printed)


def test_another_python_than_asked_for_makes_the_environment_again(clone):
    config = clone / ".venv/bin/python"
    real = config.resolve()
    config.unlink()
    config.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && case "$2" in *print*) echo 3.2; exit;; esac\n'
        f'exec {real} "$@"\n',
        encoding="utf-8",
    )
    config.chmod(0o755)
    printed = demo(clone)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    asked = f"{clone.parent}/python, which is {version}"
    assert f".venv has another Python than {asked}" in printed
    assert "another Python" not in demo(clone)


@pytest.mark.parametrize("way", [shutil.move, shutil.copytree])
def test_a_clone_that_was_moved_or_copied_gets_its_own_environment(clone, way):
    other = clone.with_name("other")
    options = {"symlinks": True} if way is shutil.copytree else {}
    way(clone, other, **options)
    printed = demo(other)
    assert f".venv belongs to another place ({clone}/.venv): this folder was" in printed
    assert "Making .venv again." in printed
    assert "another place" not in demo(other)


def test_an_environment_whose_python_is_gone_is_made_again(clone):
    for link in (clone / ".venv/bin").glob("python*"):
        link.unlink()
    (clone / ".venv/bin/python").symlink_to(clone / "gone")
    assert ".venv/bin/python does not run: the Python it was" in demo(clone)
    assert "does not run" not in demo(clone)


def test_a_link_to_an_environment_is_no_other_place(clone):
    (clone / ".venv").rename(clone / "real")
    (clone / ".venv").symlink_to("real")
    config = clone / "real/pyvenv.cfg"
    text = config.read_text(encoding="utf-8").replace("clone/.venv", "clone/real")
    config.write_text(text, encoding="utf-8")
    dry = subprocess.run(
        ["make", "-n", "demo"],
        cwd=clone,
        stdout=subprocess.PIPE,
        env=make_environment(),
    )
    assert b"venv belongs" not in dry.stdout and b"pip install" not in dry.stdout


@pytest.mark.parametrize("verbose", ["", "1"])
@pytest.mark.parametrize("fails", [False, True])
def test_what_pip_prints_is_shown_only_if_it_fails(clone, verbose, fails):
    shutil.rmtree(clone / ".venv")
    pip = clone.parent / "pip.py"
    text = pip.read_text(encoding="utf-8") + "print('DEPRECATION', file=sys.stderr)\n"
    pip.write_text(text + f"sys.exit({int(fails)})\n", encoding="utf-8")
    result = subprocess.run(
        ["make", "env", f"PYTHON={clone.parent}/python", f"VERBOSE={verbose}"],
        cwd=clone,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env=make_environment(),
    )
    assert bool(result.returncode) == fails
    assert ("DEPRECATION" in result.stdout) == (fails or bool(verbose))

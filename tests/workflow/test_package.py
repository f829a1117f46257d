"""The package that `pip install .` installs: the command, away from the repository."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest

from shears import classroom_cli, notebook_cli, report_cli
from shears.data.dataset import Split, write_dataset
from shears.runtime.code_digest import source_files
from shears.version import VERSION
from shears.weight_files.canonical import write_weights
from tests import ROOT
from tests.conftest import make_parameters


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with nothing but the installed package; the wheel is beside it."""
    folder = tmp_path_factory.mktemp("package")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    offline = ["--no-deps", "--no-index"]
    build = ["wheel", "--no-build-isolation", "--wheel-dir", folder, ROOT]
    subprocess.run([*pip, *build, *offline], check=True)
    (wheel,) = folder.glob("*.whl")
    target = ["install", "--target", folder / "site", wheel]
    subprocess.run([*pip, *target, *offline], check=True)
    return folder / "site"


def run(installed: Path, *arguments, **environment) -> subprocess.CompletedProcess:
    """Runs the installed command in an empty folder."""
    folder = installed.parent / "elsewhere"
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, installed / "bin/shears", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(installed), **environment},
        capture_output=True,
        encoding="utf-8",
    )


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "my_model_weights.h5"
    write_weights(path, make_parameters(0, zeros=0.9))
    return path


def test_the_installed_command_scores_inspects_and_compares(installed, weights):
    data = weights.with_name("data.h5")
    images = np.random.default_rng(0).integers(0, 256, (50, 32, 32, 3), np.uint8)
    write_dataset(data, {"test": Split(images, np.arange(50, dtype=np.uint8) % 10)})
    scored = run(installed, "score", weights, "--data", data, "--json")
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["images"] == 50
    compared = run(installed, "compare", weights, weights)
    assert "weights that differ: 0 of " in compared.stdout
    assert run(installed, "--version").stdout == f"shears {VERSION}\n"


def test_inspecting_imports_only_numpy_and_h5py(installed, weights):
    inspected = run(installed, "inspect", weights, PYTHONPROFILEIMPORTTIME="1")
    assert inspected.returncode == 0, inspected.stderr
    assert "sparsity   0." in inspected.stdout
    imported = set(re.findall(r"\| +([a-zA-Z]\w*)", inspected.stderr))
    others = imported & packages_distributions().keys() - {"numpy", "h5py", "shears"}
    assert not others


def test_what_the_command_imports_is_declared():
    imported: set[str] = set()
    required: set[str] = set()  # when they are used, by shears.inference.runtimes
    for path in source_files(ROOT / "shears/__main__.py", ROOT):
        text = path.read_text(encoding="utf-8")
        required.update(re.findall(r'require\("(\w+)', text))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Import):
                imported.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module.split(".")[0])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    declared = {re.match(r"[\w-]+", name)[0] for name in project["dependencies"]}
    extras = {
        extra: {re.match(r"[\w-]+", name)[0].replace("-", "_") for name in names}
        for extra, names in project["optional-dependencies"].items()
    }
    extra = extras["notebook"]
    modules = {"pyyaml": "yaml", "vl_convert_python": "vl_convert"}
    classroom = {modules.get(name, name) for name in extras["classroom"]}
    report = {modules.get(name, name) for name in extras["report"]}
    imported -= sys.stdlib_module_names | {"shears"}
    assert imported - extra - classroom - report == declared
    assert report - imported == {"itables"}
    assert set(report_cli.PACKAGES) == report
    assert extra - imported == {"ipykernel"}  # a program, which it starts
    assert set(notebook_cli.PACKAGES) == extra
    assert classroom - imported == {"itables"}  # its JavaScript, which is read
    assert set(classroom_cli.PACKAGES) == classroom
    # LiteRT needs backports.strenum, in a version that it does not ask for.
    assert extras["inference"] == required | {"backports_strenum"}


def test_the_package_has_the_library_and_nothing_else(installed):
    (wheel,) = installed.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    folders = {Path(name).parts[0] for name in names}
    assert folders == {"shears", f"shears-{VERSION}.dist-info"}
    # The pages are made from an installed package, too.
    pages = {f"reporting/{name}" for name in ("page.css", "page.js", "parts.html.j2")}
    pages |= {
        f"reporting/{name}.html.j2" for name in ("comparison", "live", "live_body")
    }
    pages.add("classroom/leaderboard.html.j2")
    assert names >= {f"shears/{name}" for name in pages}

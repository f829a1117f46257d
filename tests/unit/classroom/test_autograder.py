import ast
import io
import json
import re
import stat
import subprocess
import sys
import zipfile
from importlib.metadata import distribution, distributions

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shears.classroom import autograder
from shears.classroom.autograder import (
    LOCK,
    NOTEBOOK_PACKAGES,
    build,
    cut_lock,
    modules_of,
    packages_of,
)
from shears.classroom.part_b import IMAGES
from shears.data.dataset import Split
from shears.data.packed_images import unpack
from shears.runtime.errors import UserError
from tests import ROOT

SPLIT = Split(
    np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8),
    np.array([1, 2, 3], np.uint8),
)


def read(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def part_b(tmp_path_factory) -> dict[str, bytes]:
    path = tmp_path_factory.mktemp("zip") / "autograder.zip"
    build(path, {"b": 100}, SPLIT)
    return read(path)


def test_the_programs_are_at_the_root_and_executable(tmp_path):
    sizes = build(tmp_path / "a.zip", {"b": 100}, SPLIT)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    assert sizes.keys() == entries.keys()
    programs = {
        name
        for name, entry in entries.items()
        if stat.S_IMODE(entry.external_attr >> 16) == 0o755
    }
    assert programs == {"run_autograder", "setup.sh"}


def test_the_same_inputs_give_the_same_bytes(tmp_path):
    build(tmp_path / "a.zip", {"b": 100}, SPLIT)
    build(tmp_path / "b.zip", {"b": 100}, SPLIT)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}
        assert archive.namelist() == sorted(archive.namelist())


def test_part_b_needs_numpy_and_h5py_alone_and_no_trainer(part_b):
    modules = [name for name in part_b if name.startswith("shears/")]
    assert "shears/weight_files/reader.py" in modules
    assert not [name for name in modules if re.search("training|backend|fetch", name)]
    names = re.findall(r"^(\S+)==", part_b["requirements.lock"].decode(), re.M)
    assert {*names} == {"h5py", "numpy"}


def test_the_modules_in_the_zip_import_without_anything_else(part_b, tmp_path):
    for name, content in part_b.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    code = "import sys; sys.path.insert(0, '.')\n" + "\n".join(
        f"import {name.removesuffix('.py').replace('/', '.')}"
        for name in part_b
        if name.endswith(".py")
    )
    code += "\nassert 'tensorflow' not in sys.modules, 'TensorFlow'"
    code += f"\nassert shears.__file__.startswith({str(tmp_path)!r}), shears.__file__"
    subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, check=True)


def test_the_images_and_the_points_are_in_the_zip(part_b):
    np.testing.assert_array_equal(unpack(part_b[IMAGES]).images, SPLIT.images)
    assert json.loads(part_b["settings.json"]) == {"points": {"b": 100}}


def test_images_that_are_downloaded_are_not_in_the_zip(tmp_path):
    build(tmp_path / "a.zip", {"b": 100}, None)
    files = read(tmp_path / "a.zip")
    assert IMAGES not in files
    assert {"shears/classroom/fetch_images.py", "shears/data/servers.py"} <= {*files}


def test_the_cut_lock_has_what_packages_need_with_checksums_and_no_index():
    lock = LOCK.read_text(encoding="utf-8")
    cut = cut_lock(lock, {"ipykernel", "tensorflow"})
    names = {*re.findall(r"^(\S+?)==", cut, re.M)}
    # What the installed packages say they need on this machine must be there.
    assert {"numpy", "h5py", "keras", "absl-py", "jupyter-client", "pyzmq"} <= names
    assert not names & {"snakemake", "pytest", "altair", "connection-pool"}
    for entry in re.findall(r"^\S+?==.*\n(?:    .*\n)*", cut, re.M):
        assert "--hash=sha256:" in entry
        assert not entry.rstrip().endswith("\\")
    assert not re.search("http|find-links|index|wheels", cut)


def test_every_package_that_an_installed_one_needs_is_in_the_cut_lock():
    modules = modules_of(["a", "b"], download=True)
    packages = packages_of(modules) | {*NOTEBOOK_PACKAGES}
    cut = cut_lock(LOCK.read_text(encoding="utf-8"), packages)
    names = {*re.findall(r"^(\S+?)==", cut, re.M)}
    for name in names & {canonicalize_name(d.name) for d in distributions()}:
        for line in distribution(name).requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in names, f"{name}: {line}"


def test_a_package_that_is_not_locked_is_a_fault():
    with pytest.raises(ValueError, match="has no unheard-of"):
        cut_lock(LOCK.read_text(encoding="utf-8"), {"unheard-of"})


def test_without_a_checkout_the_command_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(autograder, "LOCK", tmp_path / "requirements.lock")
    with pytest.raises(UserError, match="build the autograder in a checkout"):
        build(tmp_path / "a.zip", {"b": 100}, SPLIT)
    assert not (tmp_path / "a.zip").exists()


def test_packages_are_named_as_the_lock_names_them():
    modules = modules_of(["b"], download=False)
    assert packages_of(modules) == {"h5py", "numpy"}
    study = [ROOT / f"shears/notebooks/{name}.py" for name in ("execution", "limits")]
    assert packages_of(study) == {"jupyter-client", "nbclient", "nbformat", "psutil"}


def test_the_dockerfile_runs_the_same_programs_and_its_paths_exist(part_b):
    text = part_b["Dockerfile"].decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    commands = " ".join(lines)
    assert "RUN sh /autograder/source/setup.sh" in commands
    assert 'CMD ["/autograder/run_autograder"]' in commands
    assert "COPY . /autograder/source" in commands
    for path in re.findall("/autograder/source/([a-z._]+)", commands):
        assert path in part_b
    python = re.search(r"FROM python:3\.(\d+)-", text)[1]
    assert 11 <= int(python) <= 13  # so setup.sh installs no other


@pytest.mark.parametrize("name", ["setup.sh", "run_autograder"])
def test_the_programs_are_valid_shell_and_name_files_of_the_zip(part_b, name):
    text = part_b[name].decode()
    checked = subprocess.run(["sh", "-n"], input=text.encode(), capture_output=True)
    assert not checked.stderr
    for module in re.findall(r"-m (shears[\w.]+)", text):
        optional = module == autograder.FETCH
        assert f"{module.replace('.', '/')}.py" in part_b or optional
    (quoted,) = re.findall("RESULTS'\n(.*)RESULTS", text, re.S) or ("{}",)
    assert isinstance(json.loads(quoted), dict)


def test_every_file_of_the_grader_parses_as_python(part_b):
    for name, content in part_b.items():
        if name.endswith(".py"):
            ast.parse(io.BytesIO(content).read())

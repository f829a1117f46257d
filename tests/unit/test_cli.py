import fcntl
import gzip
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from shears import given_files
from shears.cli import main
from shears.data import cifar10
from shears.data.dataset import Split, read_split, write_dataset
from shears.evaluation.grading import GradedNetwork
from shears.model.architecture import NAMES, PARAMETERS
from shears.runtime.files import checksum
from shears.weight_files.canonical import write_weights
from tests.conftest import make_parameters
from tests.file_systems import without_locks
from tests.unit.data.pickled import python_2_batch
from tests.unit.weight_files.genuine_files import unpack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Writes two weights files and a few test images."""
    folder = tmp_path_factory.mktemp("command")
    write_weights(folder / "a.h5", make_parameters(0, zeros=0.9))
    write_weights(folder / "b.h5", make_parameters(0, zeros=0.95))
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(60, dtype=np.uint8) % 10
    write_dataset(folder / "data.h5", {"test": Split(images, labels)})
    return folder


def run(capsys, *arguments) -> tuple[int, str, str]:
    """Runs a command; returns exit code, standard output and standard error."""
    code = main(list(map(str, arguments)))
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_score_agrees_with_the_workflow(capsys, folder):
    file, data = folder / "a.h5", folder / "data.h5"
    code, out, err = run(capsys, "score", file, "--data", data, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    expected, _ = GradedNetwork.from_file(file).score(read_split(data, "test"))
    assert {key: result[key] for key in expected} == expected
    assert result["sha256"] == checksum(file)
    assert result["bytes"] == file.stat().st_size
    assert result["gzip_bytes"] == len(gzip.compress(file.read_bytes()))
    code, out, _ = run(capsys, "score", file, "--data", data)
    assert code == 0
    assert f"score      {expected['score']:.6f}" in out
    assert f"{expected['zeros']:,} of {PARAMETERS:,}" in out


def test_inspect_counts_the_zeros_of_each_array(capsys, folder):
    code, out, _ = run(capsys, "inspect", folder / "a.h5", "--json")
    rows = json.loads(out)["arrays"]
    arrays = make_parameters(0, zeros=0.9).arrays
    assert code == 0
    assert [row["name"] for row in rows] == list(NAMES)
    assert [row["zeros"] for row in rows] == [int((a == 0).sum()) for a in arrays]
    _, out, _ = run(capsys, "inspect", folder / "a.h5")
    assert f"{rows[8]['zeros']:,}" in out


def test_compare_counts_what_differs(capsys, folder):
    a, b = (make_parameters(0, zeros=share) for share in (0.9, 0.95))
    code, out, _ = run(capsys, "compare", folder / "a.h5", folder / "b.h5", "--json")
    result = json.loads(out)
    assert code == 0
    assert result["zeros"] == [a.count_zeros(), b.count_zeros()]
    assert result["different"] == int((a.vector != b.vector).sum())
    both = (a.vector == 0) & (b.vector == 0)
    assert result["zeros_in_both"] == int(both.sum())
    assert result["arrays"][0]["largest_difference"] == pytest.approx(
        np.abs(a.kernels[0] - b.kernels[0]).max(), rel=1e-6
    )
    _, out, _ = run(capsys, "compare", folder / "a.h5", folder / "a.h5")
    assert f"weights that differ: 0 of {PARAMETERS:,}" in out


def test_a_keras_file_is_inspected_and_compared(capsys, tmp_path):
    names = ("keras-3.15.functional.save.keras", "tf_keras-2.21.sequential.save.keras")
    files = [unpack(name, tmp_path) for name in names]
    code, out, _ = run(capsys, "inspect", files[0])
    assert code == 0
    assert "Keras 3 model, written by Keras 3.15" in out
    assert "Keras 3.15 (load_weights and load_model)" in out
    assert "not TensorFlow 2.2" in out
    assert "TensorFlow 2.15 (load_weights)\n" in out
    _, out, _ = run(capsys, "compare", *files)
    assert f"weights that differ: 0 of {PARAMETERS:,}" in out
    files[1].write_bytes(files[1].read_bytes()[:-1])
    code, out, err = run(capsys, "compare", *files)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_a_bad_file_gives_exit_code_2_and_one_line(capsys, folder, tmp_path):
    bad = Path(shutil.copyfile(folder / "a.h5", tmp_path / "bad.h5"))
    bad.write_bytes(bad.read_bytes()[:-9])
    for arguments in (
        ("score", bad, "--data", folder / "data.h5"),
        ("inspect", bad),
        ("compare", folder / "a.h5", bad),
    ):
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (2, "")
        assert err.startswith(f"refused: {bad}: ")
        assert err.count("\n") == 1


def test_a_folder_in_place_of_a_file_is_refused(capsys, tmp_path):
    code, out, err = run(capsys, "inspect", tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"refused: {tmp_path}: found a folder, expected ")


@pytest.mark.parametrize("kind", ["archive", "folder"])
def test_score_reads_the_python_version(capsys, folder, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(cifar10, "ROWS", 30)
    rng = np.random.default_rng(0)
    batches = tmp_path / cifar10.PYTHON_FOLDER
    batches.mkdir()
    for name in cifar10.BATCHES:
        pixels = rng.integers(0, 256, (30, 3072), dtype=np.uint8)
        content = python_2_batch(pixels, np.arange(30, dtype=np.uint8) % 10)
        (batches / name).write_bytes(content)
    data = tmp_path
    if kind == "archive":
        data = tmp_path / "cifar-10-python.tar.gz"
        with tarfile.open(data, "w:gz") as archive:
            archive.add(batches, batches.name)
    expected, _ = GradedNetwork.from_file(folder / "a.h5").score(
        cifar10.read_archive(batches)[1]
    )
    code, out, err = run(capsys, "score", folder / "a.h5", "--data", data, "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert {key: result[key] for key in expected} == expected
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    monkeypatch.setenv("CIFAR10_ARCHIVE", f"~/{tmp_path.name}")
    monkeypatch.chdir(folder)
    assert run(capsys, "score", folder / "a.h5")[0] == 0


BAD_DATA = {
    "text": (lambda path: path.write_bytes(b"text"), "not a whole tar.gz"),
    "an empty folder": (lambda path: path.mkdir(), "found no batches of CIFAR-10"),
    "a batch that runs something": (
        lambda path: (
            path.mkdir(),
            (path / "data_batch_1").write_bytes(b"cos\nmkdir\nX\3\0\0\0ran\x85R."),
        ),
        "it asks for os.mkdir, expected only NumPy's arrays",
    ),
    "text that is called HDF5": (
        lambda path: path.with_name("data.h5").write_bytes(b"text"),
        "not a prepared data set",
    ),
}


@pytest.mark.parametrize("kind", BAD_DATA)
def test_bad_data_give_exit_code_2_and_one_line(
    capsys, folder, tmp_path, monkeypatch, kind
):
    make, message = BAD_DATA[kind]
    make(tmp_path / "data")
    (data,) = tmp_path.iterdir()
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.rglob("*"))
    code, out, err = run(capsys, "score", folder / "a.h5", "--data", data)
    assert (code, out) == (2, "")
    assert err.startswith(f"refused: {data}")
    assert message in err
    assert err.count("\n") == 1
    assert set(tmp_path.rglob("*")) == before
    # The data that are found by default are not given: nothing is refused.
    if not data.name.endswith("h5"):
        monkeypatch.setenv("CIFAR10_ARCHIVE", str(data))
        code, out, err = run(capsys, "score", folder / "a.h5")
        assert (code, out) == (1, "")
        assert err.startswith(f"error: {data}")


def test_data_that_may_not_be_read_give_exit_code_2(capsys, folder, monkeypatch):
    def forbidden(*_):  # the tests may run as root, who may read everything
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(given_files, "read_split", forbidden)
    data = folder / "data.h5"
    assert run(capsys, "score", folder / "a.h5", "--data", data) == (
        2,
        "",
        f"refused: {data}: Permission denied\n",
    )


def test_without_test_images_the_error_says_where_to_get_them(
    capsys, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CIFAR10_ARCHIVE", raising=False)
    code, out, err = run(capsys, "score", folder / "a.h5")
    assert (code, out) == (1, "")
    assert "found no test images in results/dataset.h5" in err
    assert "--data" in err
    code, out, err = run(capsys, "score", folder / "a.h5", "--data", "nowhere")
    assert (code, out) == (1, "")
    assert "found no test images in nowhere" in err


def test_the_workflows_data_are_found_by_default(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    shutil.copyfile(folder / "data.h5", tmp_path / "results/dataset.h5")
    code, out, _ = run(capsys, "score", folder / "a.h5", "--json")
    assert code == 0
    assert json.loads(out)["data"] == "results/dataset.h5"


def test_it_runs_as_a_module_and_refuses_without_importing_tensorflow(folder, tmp_path):
    (tmp_path / "bad.h5").write_bytes(b"no weights")
    command = [sys.executable, "-X", "importtime", "-m", "shears", "score"]
    ran = subprocess.run(
        [*command, tmp_path / "bad.h5"], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    assert ran.returncode == 2
    assert "refused: " in ran.stderr
    # Importing TensorFlow alone takes five seconds.
    assert "tensorflow" not in ran.stderr


def test_every_path_is_expanded(capsys, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("PLACE", str(folder))
    monkeypatch.setenv("CIFAR10_ARCHIVE", "$PLACE/data.h5")
    expected = run(capsys, "score", folder / "a.h5", "--data", folder / "data.h5")
    assert expected[0] == 0
    for given in (["~/a.h5", "--data=~/data.h5"], ["${PLACE}/a.h5"]):
        assert run(capsys, "score", *given) == expected
    expected = run(capsys, "compare", folder / "a.h5", folder / "b.h5")
    assert run(capsys, "compare", "~/a.h5", "$PLACE/b.h5") == expected


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["score", "$NONE/a"], "file"),
        (["score", "a.h5", "--data=$NONE/a"], "--data"),
        (["inspect", "$NONE/a"], "file"),
        (["compare", "$NONE/a", "b"], "first"),
        (["compare", "b", "$NONE/a"], "second"),
        (["export", "$NONE/a", "--format=c"], "file"),
        (["export", "a.h5", "--format=c", "--data=$NONE/a"], "--data"),
        (["export", "a.h5", "--format=c", "--output=$NONE/a"], "--output"),
        (["latency", "$NONE/a"], "file"),
        (["latency", "a.h5", "--data=$NONE/a"], "--data"),
        (["notebook", "fill", "$NONE/a", "--output", "b"], "file"),
        (["notebook", "fill", "b", "--output", "$NONE/a"], "--output"),
        (["notebook", "check", "$NONE/a"], "file"),
        (["notebook", "check", "b", "--original", "$NONE/a"], "--original"),
    ],
)
def test_a_variable_that_is_not_set_is_named_with_its_option(
    capsys, monkeypatch, arguments, option
):
    monkeypatch.delenv("NONE", raising=False)
    message = (
        f"refused: {option}: found $NONE/a, but the environment variable NONE is not "
        "set: set it, or give the whole path\n"
    )
    assert run(capsys, *arguments) == (2, "", message)


def test_a_variable_of_cifar10_archive_that_is_not_set_is_named(
    capsys, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NONE", raising=False)
    monkeypatch.setenv("CIFAR10_ARCHIVE", "$NONE/a")
    code, out, err = run(capsys, "score", folder / "a.h5")
    assert (code, out) == (1, "")
    assert err.startswith("error: CIFAR10_ARCHIVE: found $NONE/a, but the environ")


def test_files_are_read_where_there_are_no_locks(folder, tmp_path):
    code = (
        "import sys, shears.cli, shears.given_files as files\n"
        "assert shears.cli.main(['inspect', sys.argv[1]]) == 0\n"
        "files.read_images_of(sys.argv[2], given=True)"
    )
    command = [sys.executable, "-c", code, folder / "a.h5", folder / "data.h5"]
    ran = subprocess.run(command, cwd=ROOT, env=without_locks(tmp_path))
    assert ran.returncode == 0


@pytest.mark.parametrize("name", ["a.h5", "data.h5"])
def test_a_file_that_another_program_writes_is_refused_without_blame(
    capsys, folder, name
):
    with (folder / name).open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        code, out, err = run(
            capsys, "score", folder / "a.h5", "--data", folder / "data.h5"
        )
    assert (code, out) == (2, "")
    assert err.startswith(f"refused: {folder / name}: another program has it open")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["a.h5", "named-like-nothing"])
def test_a_weights_file_given_as_data_is_not_called_damaged(
    capsys, folder, tmp_path, name
):
    data = tmp_path / name
    shutil.copyfile(folder / "a.h5", data)
    code, out, err = run(capsys, "score", folder / "a.h5", "--data", data)
    assert (code, out) == (2, "")
    assert err.startswith(f"refused: {data}: not a prepared data set (its test split")
    assert err.count("\n") == 1

import json
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shears import inference_cli
from shears.cli import main
from shears.data.dataset import Split, write_dataset
from shears.inference.compaction import compact, compute_logits
from shears.inference.comparison import pixels
from shears.inference.compiled import find_compiler
from shears.inference.runtimes import open_litert, open_onnx
from shears.model.architecture import PARAMETERS
from shears.model.parameters import Parameters
from shears.runtime.machine import count_cores
from shears.weight_files.canonical import write_weights
from tests import ROOT
from tests.unit.inference.c_programs import needs_compiler, random_network
from tests.unit.inference.common import padded

NETWORK = padded(random_network((4, 4, 8, 4, 16), 0.5))
RNG = np.random.default_rng(9)
IMAGES = RNG.integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(40, dtype=np.uint8) % 10


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inference")
    write_weights(folder / "my.net.h5", NETWORK)
    constant = Parameters(np.zeros(PARAMETERS, np.float32))
    constant.biases[-1][4] = 1
    write_weights(folder / "constant.h5", constant)
    split = Split(IMAGES, LABELS)
    write_dataset(folder / "data.h5", {"test": split, "train": split})
    (folder / "bad.h5").write_bytes((folder / "data.h5").read_bytes())
    return folder


@pytest.fixture
def run(capfd, folder, tmp_path, monkeypatch):
    """Returns a function that runs a command in a folder with nothing but the data.

    It returns the exit code, standard output and standard error, also of C++.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CIFAR10_ARCHIVE", str(folder / "data.h5"))

    def run(*arguments) -> tuple[int, str, str]:
        code = main(list(map(str, arguments)))
        return code, *capfd.readouterr()

    return run


def files() -> list[str]:
    """The files below the working folder."""
    return sorted(str(path) for path in Path().rglob("*"))


@pytest.mark.parametrize(
    ("kind", "load"), [("onnx", open_onnx), ("tflite", open_litert)]
)
def test_a_model_is_written_that_has_the_files_predictions(run, folder, kind, load):
    code, out, err = run("export", folder / "my.net.h5", "--format", kind)
    assert (code, err) == (0, "")
    assert files() == [f"my.net.{kind}"]
    logits = load(Path(f"my.net.{kind}").read_bytes())(pixels(IMAGES))
    expected = compute_logits(compact(NETWORK), pixels(IMAGES))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    accuracy = (expected.argmax(1) == LABELS).mean()
    assert f"on 40 test images: accuracy {accuracy:.4f}, outputs differ by at" in out
    assert f"written    my.net.{kind} ({os.path.getsize(files()[0]):,} bytes)" in out


def test_json_says_what_was_written(run, folder):
    arguments = ("export", folder / "my.net.h5", "--format=onnx", "--json")
    code, out, err = run(*arguments, "--output", "new/folder/name")
    assert (code, err) == (0, "")
    about = json.loads(out)
    assert about["written"] == {
        "new/folder/name.onnx": os.path.getsize("new/folder/name.onnx")
    }
    network = compact(NETWORK)
    assert about["file"] == str(folder / "my.net.h5")
    assert about["format"] == "onnx"
    assert about["widths"] == list(network.widths)
    assert about["multiply_adds_left"] == network.multiply_adds_left
    assert about["images"] == 40
    assert 0 <= about["largest_difference"] < 1e-4
    assert about["unchecked"] == ""
    assert not about["constant"]


def test_a_suffix_is_not_added_twice(run, folder):
    for given, written in (("net.onnx", "net.onnx"), ("a.b", "a.b.onnx")):
        arguments = ("export", folder / "my.net.h5", "--format=onnx")
        assert run(*arguments, "--output", given)[0] == 0
        assert files() == [written]
        Path(written).unlink()


@needs_compiler
def test_c_code_is_named_after_its_file(run, folder):
    code, out, err = run(
        "export", folder / "my.net.h5", "--format=c", "--output", "2 nets"
    )
    assert (code, err) == (0, "")
    assert files() == ["network_2_nets.c", "network_2_nets.h"]
    header = Path("network_2_nets.h").read_text(encoding="utf-8")
    assert "void network_2_nets_logits(" in header
    assert "checked    on 40 test images" in out


@needs_compiler
def test_c_code_compiles_under_the_name_of_its_files(run, folder):
    code, out, _ = run("export", folder / "my.net.h5", "--format=c", "--json")
    assert code == 0
    source, header = json.loads(out)["written"]
    assert (source, header) == ("my_net.c", "my_net.h")
    subprocess.run([find_compiler(), "-c", source, "-o", "net.o"], check=True)


def test_without_a_compiler_c_code_is_written_and_said_to_be_unchecked(
    run, folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    code, out, err = run("export", folder / "my.net.h5", "--format=c")
    assert (code, err) == (0, "")
    assert files() == ["my_net.c", "my_net.h"]
    assert "unchecked  there is no C compiler here" in out
    assert "accuracy" not in out
    _, out, _ = run("export", folder / "my.net.h5", "--format=c", "--json")
    about = json.loads(out)
    assert about["unchecked"] == "there is no C compiler here"
    assert about["largest_difference"] is None


@pytest.mark.parametrize(
    "kind",
    ["onnx", "tflite", "tflite-int8", pytest.param("c", marks=needs_compiler)],
)
def test_a_network_without_survivors_is_exported_as_a_constant(run, folder, kind):
    arguments = ("export", folder / "constant.h5", "--format", kind)
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    assert "constant: its predictions do not depend on the image" in out
    assert "accuracy 0.1000" in out  # everything is class 4
    assert files()


def test_int8_is_calibrated_with_training_images_alone(run, folder, monkeypatch):
    asked = []
    genuine = inference_cli.read_images_of

    def spy(data, split="test", *, given):
        asked.append(split)
        return genuine(data, split, given=given)

    monkeypatch.setattr(inference_cli, "read_images_of", spy)
    code, out, err = run("export", folder / "my.net.h5", "--format=tflite-int8")
    assert (code, err) == (0, "")
    assert asked == ["test", "train"]
    assert files() == ["my.net.int8.tflite"]
    assert "outputs differ by at most 0.0" in out


@pytest.mark.slow
def test_a_keras_file_is_written_and_can_be_opened(run, folder):
    code, _, err = run("export", folder / "my.net.h5", "--format=keras")
    assert (code, err) == (0, "")
    assert files() == ["my.net.keras"]


def test_an_export_never_overwrites_the_network_itself(run):
    packed = ROOT / "tests/data/keras_files/keras-3.15.sequential.save.keras.xz"
    before = lzma.decompress(packed.read_bytes())
    Path("net.keras").write_bytes(before)
    for output in ((), ("--output=net.keras",), ("--output", Path.cwd() / "net")):
        code, out, err = run("export", "net.keras", "--format=keras", *output)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "net.keras: is the file itself; --output names" in err
        assert Path("net.keras").read_bytes() == before
    assert files() == ["net.keras"]


@pytest.mark.parametrize("command", [("export", "--format=onnx"), ("latency",)])
def test_a_full_temporary_folder_is_a_line(run, folder, monkeypatch, command):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def forbidden(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("shears.inference.comparison.compact_and_check", forbidden)
    code, out, err = run(command[0], folder / "my.net.h5", *command[1:])
    assert (code, out, err) == (1, "", "error: [Errno 12] Cannot allocate memory\n")
    monkeypatch.setattr("shears.inference.comparison.compact_and_check", full)
    code, out, err = run(command[0], folder / "my.net.h5", *command[1:])
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "No space left on device; TMPDIR names the folder" in err


def test_an_output_that_cannot_be_written_is_a_line(run, folder):
    Path("file").touch()
    Path("folder.c").mkdir()
    for output, problem in (
        ("file/net", "file/net.onnx: Not a directory"),
        ("/dev/null/net", "/dev/null/net.onnx: Not a directory"),
        ("n" * 300, "File name too long"),
        (".", "--output: found ., expected a path with a file's name"),
        ("/", "--output: found /, expected a path with a file's name"),
    ):
        arguments = ("export", folder / "my.net.h5", "--format=onnx")
        code, out, err = run(*arguments, "--output", output)
        assert (code, out) == (1, "")
        assert err.startswith("error: ") and problem in err
        assert "--output" in err
        assert err.count("\n") == 1
    for kind in ("folder", "other"):
        Path("other.h").mkdir(exist_ok=True)
        arguments = ("export", folder / "my.net.h5", "--format=c")
        code, out, err = run(*arguments, "--output", kind)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert f"error: {kind}." in err and "Is a directory" in err
    assert files() == ["file", "folder.c", "other.h"]


@pytest.mark.parametrize(
    ("kind", "package"),
    [("onnx", "onnxruntime"), ("tflite", "ai_edge_litert.interpreter")],
)
def test_a_missing_package_is_a_line(run, folder, monkeypatch, kind, package):
    monkeypatch.setitem(sys.modules, package, None)
    code, out, err = run("export", folder / "my.net.h5", "--format", kind)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("error: found no package ")
    assert files() == []


@pytest.mark.parametrize("command", [("export", "--format=c"), ("latency",)])
def test_what_is_not_the_fixed_network_is_refused(run, folder, command):
    code, out, err = run(command[0], folder / "bad.h5", *command[1:])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"refused: {folder / 'bad.h5'}: ")
    assert files() == []


@pytest.mark.parametrize("command", [("export", "--format=c"), ("latency",)])
def test_bad_data_are_refused(run, folder, command):
    data = folder / "my.net.h5"
    code, out, err = run(command[0], data, *command[1:], "--data", data)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"refused: {data}: not a prepared data set")


def test_a_file_is_refused_without_importing_tensorflow(folder, tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", "shears", "export"]
    ran = subprocess.run(
        [*command, folder / "bad.h5", "--format=c"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
    )
    assert ran.returncode == 2
    assert "tensorflow" not in ran.stderr


def pretended(missing=()) -> dict:
    """What `compare_file` returns, invented."""
    names = ("network", "runtime", "threads", "batch", "median", "p95")
    rows = [("pruned", "ONNX Runtime", 2, 1, 400.4, 500), ("compact", "C", 1, 1, 80, 9)]
    return {
        "timings": [
            {**dict(zip(names, row, strict=True), images_per_second=12_345.6)}
            for row in rows
        ],
        "missing": dict(missing),
        "speedups": [
            {"batch": 1, "threads": 1, "rival": "LiteRT", "ratio": 4.26, "keras": 97.4}
        ],
    }


def test_latency_prints_a_table_what_is_missing_and_ratios(run, folder, monkeypatch):
    asked = {}

    def compare(parameters, images, **how):
        asked.update(how, images=images.shape, zeros=parameters.count_zeros())
        return pretended({"LiteRT": "found no package"})

    monkeypatch.setattr("shears.inference.comparison.compare_file", compare)
    code, out, err = run("latency", folder / "my.net.h5", "--runs=7")
    assert (code, err) == (0, "")
    assert asked == {
        "runs": 7,
        "threads": count_cores(),
        "images": (40, 32, 32, 3),
        "zeros": NETWORK.count_zeros(),
    }
    lines = [line.split() for line in out.splitlines()]
    assert lines[1:3] == [
        ["compact", "C", "1", "1", "80", "9", "12,346"],
        ["pruned", "ONNX", "Runtime", "2", "1", "400", "500", "12,346"],
    ]
    assert "missing: LiteRT: found no package" in out
    assert "4.3 times the images a second of LiteRT, 97 times Keras'" in out
    _, out, _ = run("latency", folder / "my.net.h5", "--json")
    assert json.loads(out)["file"] == str(folder / "my.net.h5")
    assert json.loads(out)["speedups"] == pretended()["speedups"]
    assert asked["runs"] == inference_cli.RUNS


@pytest.mark.slow
@needs_compiler
def test_latency_measures(run, folder, monkeypatch):
    monkeypatch.setattr("shears.inference.latency.BATCHES", (1, 2))
    monkeypatch.setattr("shears.inference.comparison.KERAS", "ONNX Runtime")
    monkeypatch.setattr(
        "shears.inference.comparison.RUNTIMES", ("ONNX Runtime", "LiteRT", "C")
    )
    code, out, err = run("latency", folder / "my.net.h5", "--runs=1", "--json")
    assert (code, err) == (0, "")
    about = json.loads(out)
    names = {(row["network"], row["runtime"]) for row in about["contenders"]}
    assert names == {
        (network, runtime)
        for network in ("pruned", "compact")
        for runtime in ("ONNX Runtime", "LiteRT", "C")
    } - {("pruned", "C")}
    assert about["missing"] == {}
    assert len(about["speedups"]) == 2 * len(about["peaks"])


@pytest.mark.parametrize("command", ["export", "latency"])
def test_help_names_the_commands_and_their_options(capsys, command):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert f"shears {command} FILE" in capsys.readouterr().out
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    options = {"export": ["--format", "--output"], "latency": ["--runs"]}[command]
    for option in (*options, "--data", "--json", "--max-memory"):
        assert option in shown


def test_a_format_is_needed(capsys):
    with pytest.raises(SystemExit) as end:
        main(["export", "a.h5"])
    assert end.value.code == 2
    assert "--format" in capsys.readouterr().err

import gzip
import json
import subprocess
import sys
import time

import numpy as np
import pytest

from shears.inference import latency
from shears.inference.compaction import compute_logits
from shears.inference.latency import (
    CALLS,
    FUNCTION,
    KERAS,
    LITERT,
    ONNX,
    RUNTIMES,
    C,
    Contender,
    Timing,
    export_all,
    export_contender,
    file_sizes,
    measure_alone,
    measure_contenders,
    open_contender,
    run_process,
    time_calls,
)
from shears.inference.peak import peak_memory
from shears.runtime.errors import UserError
from tests.unit.inference.c_programs import (
    assert_equal_logits,
    needs_compiler,
    random_network,
)
from tests.unit.inference.common import constant_network

NETWORK = random_network((3, 4, 5, 2, 17), 0.5)
IMAGES = np.random.default_rng(7).random((4, 32, 32, 3)).astype(np.float32)
ONE = Contender("lamp/seed_0/round_1", ONNX)


def counted(batch: int, runs: int, names="abc") -> list[str]:
    """Lists whose calls were made, in order."""
    calls = []
    contenders = {
        Contender(name, C): lambda images, name=name: calls.append(name)
        for name in names
    }
    seconds = time_calls(contenders, np.zeros((batch, 2)), runs)
    assert list(seconds) == list(contenders)
    for times in seconds.values():
        assert len(times) == runs * CALLS.get(batch, 1)
        assert min(times, default=1) > 0
    return calls


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_contenders_take_turns_with_one_untimed_call_each(batch):
    calls = counted(batch, runs=20)
    turn = 1 + CALLS.get(batch, 1)  # the first finds its data in the caches again
    assert calls[:3] == ["a", "b", "c"]  # compiles, allocates
    turns = np.reshape(calls[3:], (20, 3, turn))
    assert (turns == turns[..., :1]).all()
    orders = ["".join(order) for order in turns[..., 0]]
    assert {"".join(sorted(order)) for order in orders} == {"abc"}
    assert len(set(orders)) > 2  # another order each time


def test_a_single_image_is_timed_several_times_in_a_turn():
    assert CALLS == {1: 5}
    assert len(counted(1, runs=3, names="a")) == 1 + 3 * 6


def test_without_turns_nothing_is_timed():
    assert counted(1, runs=0) == ["a", "b", "c"]


def test_the_time_of_a_call_is_its_own():
    lengths = 0, 0.05
    sleepy = {Contender(str(s), C): lambda _, s=s: time.sleep(s) for s in lengths}
    short, long = time_calls(sleepy, np.zeros((2, 1)), 5).values()
    assert min(short) < 0.05 <= min(long)


@pytest.fixture
def stored(tmp_path):
    """A folder with images, for a process that measures."""
    np.save(tmp_path / "images.npy", IMAGES)
    return tmp_path


def ask(folder, contenders, batches, runs):
    """Does what the process does that measures."""
    request = {"folder": str(folder), "contenders": contenders, "threads": 2}
    return latency._answer({**request, "batches": batches, "runs": runs})


def test_the_median_and_the_95th_percentile_are_microseconds(stored, monkeypatch):
    shapes = []

    def timed(predicts, images, runs):
        shapes.append((len(images), runs))
        return {contender: [i / 1000 for i in range(1, 101)] for contender in predicts}

    monkeypatch.setattr(latency, "open_contender", lambda *_: len)
    monkeypatch.setattr(latency, "time_calls", timed)
    result = ask(stored, [ONE], [1, 6], 50)
    assert shapes == [(1, 50), (6, 50)]  # four images are enough for six
    assert result["timings"] == [
        pytest.approx(
            Timing(*ONE, 2, batch, 100, 50_500, 95_050, batch / 0.0505)._asdict()
        )
        for batch in (1, 6)
    ]
    assert json.loads(json.dumps(result)) == result
    assert result["peak"].keys() == {"flops", "bytes"}


def test_for_the_memory_alone_nothing_is_timed(stored, monkeypatch):
    monkeypatch.setattr(latency, "open_contender", lambda *_: len)
    result = ask(stored, [ONE], [1], 0)
    assert (result["timings"], result["peak"]) == ([], {})
    assert result["memory"] > 1 << 20


@pytest.mark.parametrize(
    "runtime",
    [
        FUNCTION,
        ONNX,
        LITERT,
        pytest.param(C, marks=needs_compiler),
        pytest.param(KERAS, marks=pytest.mark.slow),
    ],
)
def test_a_contender_is_opened_from_its_file(runtime, tmp_path):
    # Two names: a process loads a library of a name once.
    for name, network in (("a/b", NETWORK), ("constant", constant_network())):
        contender = Contender(name, runtime)
        export_contender(contender, network, tmp_path)
        for threads in (1, 2):
            outputs = open_contender(contender, tmp_path, threads)(IMAGES)
            if runtime == KERAS:
                expected = np.exp(compute_logits(network, IMAGES))
                expected /= expected.sum(1, keepdims=True)
                np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-5)
            else:
                assert_equal_logits(network, IMAGES, outputs)


def test_files_are_measured_as_they_are_and_by_gzip(tmp_path):
    export_contender(ONE, NETWORK, tmp_path)
    content = (tmp_path / "lamp-seed_0-round_1.onnx").read_bytes()
    assert file_sizes(ONE, tmp_path) == {
        "bytes": len(content),
        "gzip_bytes": len(gzip.compress(content)),
    }


@pytest.mark.parametrize(
    ("runtime", "package"),
    [(ONNX, "onnx"), (ONNX, "onnxruntime"), (LITERT, "ai_edge_litert.interpreter")],
)
def test_a_missing_runtime_has_its_reason_and_the_others_are_measured(
    runtime, package, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("PATH", str(tmp_path))  # no compiler
    runtimes = (ONNX, LITERT, FUNCTION, C)
    contenders = [Contender(n, r) for n in ("dense", "pruned") for r in runtimes]
    able, missing = export_all(dict.fromkeys(contenders, NETWORK), tmp_path)
    assert able == [c for c in contenders if c.runtime not in (runtime, C)]
    assert missing.keys() == {runtime, C}
    assert missing[runtime].startswith("found no package ")
    assert missing[C].startswith("found no C compiler")


def test_the_failure_of_the_process_is_told_with_its_message(tmp_path):
    with pytest.raises(RuntimeError, match="ended with 1: .*") as error:
        run_process(tmp_path, [], 1, [1], 1)
    assert "images.npy" in str(error.value)
    assert "FileNotFoundError" in str(error.value)


def test_too_many_turns_are_a_line(tmp_path, monkeypatch):
    monkeypatch.setattr(latency, "LONGEST", 0.01)
    with pytest.raises(UserError, match="50 turns of each .* give fewer .--runs"):
        run_process(tmp_path, [], 1, [1], 50)


@pytest.mark.slow
def test_the_modules_of_the_current_folder_are_not_imported(tmp_path, monkeypatch):
    (tmp_path / "gzip.py").write_text("raise SystemExit('mine')", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuntimeError) as error:
        run_process(tmp_path, [], 1, [1], 1)
    assert "mine" not in str(error.value) and "images.npy" in str(error.value)


@pytest.mark.slow
def test_a_killed_process_is_told_by_its_signal(stored, monkeypatch):
    genuine = subprocess.run
    monkeypatch.setattr(
        latency.subprocess,
        "run",
        lambda command, **how: genuine(["sh", "-c", "kill -9 $$"], **how),
    )
    with pytest.raises(RuntimeError, match="ended with -9: $"):
        run_process(stored, [], 1, [1], 1)


@pytest.mark.slow
def test_the_memory_is_that_of_the_process_that_measures(stored):
    own = np.ones(300 << 20, np.uint8)  # this process takes more than that
    memory = run_process(stored, [], 1, [1], 0)["memory"]
    assert 10 << 20 < memory < own.nbytes
    assert peak_memory() > own.nbytes


@pytest.mark.slow
@needs_compiler
def test_measuring_gives_sizes_times_and_memory(monkeypatch):
    monkeypatch.setattr(latency, "BATCHES", (1, 6))
    contenders = {Contender("dense", ONNX): NETWORK}
    contenders |= {Contender("compact", r): NETWORK for r in (ONNX, LITERT, C)}
    about = measure_contenders(contenders, IMAGES, runs=2, threads_at_most=2)
    assert json.loads(json.dumps(about)) == about
    assert about["missing"] == {}
    assert [(row["network"], row["runtime"]) for row in about["contenders"]] == list(
        contenders
    )
    for row in about["contenders"]:
        if row["network"] == "dense":  # as much as for the last one
            assert row["memory"] is None
        else:
            assert row["memory"] > 10 << 20
        assert 0 < row["gzip_bytes"] <= row["bytes"]
    keys = ("network", "runtime", "threads", "batch")
    assert {tuple(timing[key] for key in keys) for timing in about["timings"]} == {
        (*contender, threads, batch)
        for contender in contenders
        for threads in (1, 2)
        for batch in (1, 6)
    }
    for timing in about["timings"]:
        assert 0 < timing["median"] <= timing["p95"]
        assert timing["images_per_second"] == pytest.approx(
            1e6 * timing["batch"] / timing["median"]
        )
        assert timing["calls"] == 2 * {1: 5, 6: 1}[timing["batch"]]
    assert [peak["threads"] for peak in about["peaks"]] == [1, 2]
    assert all(peak["flops"] > 1e8 for peak in about["peaks"])


@pytest.mark.slow
def test_one_image_and_thread_is_measured_alone():
    contenders = {Contender("a/b", ONNX): NETWORK, Contender("c", ONNX): NETWORK}
    rows = measure_alone(contenders, IMAGES[:1], runs=1)
    assert [(row["network"], row["threads"], row["batch"]) for row in rows] == [
        ("a/b", 1, 1),
        ("c", 1, 1),
    ]


def test_runtimes_have_files_of_different_names():
    paths = {latency._path(Contender("a/b", r), latency.Path("x")) for r in RUNTIMES}
    assert len(paths) == len(RUNTIMES)
    assert {path.parent.name for path in paths} == {"x"}

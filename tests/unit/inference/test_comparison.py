import json

import numpy as np
import pytest

from shears.inference import comparison
from shears.inference.compact_network import CompactNetwork
from shears.inference.comparison import (
    CHECKED,
    compact_and_check,
    compare_candidates,
    compare_file,
    contenders_of,
    describe_network,
    pixels,
    speedups,
)
from shears.inference.latency import (
    FUNCTION,
    KERAS,
    LITERT,
    ONNX,
    C,
    Contender,
    Timing,
)
from tests.conftest import make_parameters
from tests.unit.inference.c_programs import random_network
from tests.unit.inference.common import padded

NETWORK = random_network((3, 4, 5, 2, 17), 0.5)
SMALL = padded(NETWORK)
IMAGES = np.random.default_rng(8).random((6, 32, 32, 3)).astype(np.float32)
MODELS = (KERAS, FUNCTION, ONNX, LITERT)


def timing(network, runtime, batch, speed, threads=1) -> dict:
    return Timing(
        network, runtime, threads, batch, 5, 1e6 / speed, 2e6 / speed, batch * speed
    )._asdict()


@pytest.fixture
def measured(monkeypatch) -> dict:
    """Pretends to measure; holds what was asked for, and what is missing."""
    asked = {"missing": {}}

    def measure_contenders(networks, images, runs, threads):
        asked.update(contenders=list(networks), images=len(images))
        asked.update(runs=runs, threads=threads)
        rows = [
            timing(*contender, 1, 100 * (1 + (contender.runtime == C)))
            for contender in networks
            if contender.runtime not in asked["missing"]
        ]
        return {"timings": rows, "missing": asked["missing"]}

    def measure_alone(networks, image, runs):
        asked.update(alone=list(networks), shape=image.shape, runs_alone=runs)
        return [timing(*contender, 1, 50) for contender in networks]

    monkeypatch.setattr(comparison, "measure_contenders", measure_contenders)
    monkeypatch.setattr(comparison, "measure_alone", measure_alone)
    return asked


def test_the_compact_network_is_checked(monkeypatch):
    network, difference = compact_and_check(SMALL, IMAGES)
    assert difference < 1e-5
    assert network.parameters <= NETWORK.parameters
    wrong = network._replace(biases=tuple(1.01 * bias for bias in network.biases))
    monkeypatch.setattr(comparison, "compact", lambda _: wrong)
    with pytest.raises(RuntimeError, match="the compact network's logits differ"):
        compact_and_check(SMALL, IMAGES)


def test_each_network_is_in_each_runtime_and_the_compact_one_in_c():
    contenders = contenders_of(NETWORK, NETWORK, NETWORK)
    names = ("dense", "pruned", "compact")
    expected = [Contender(name, runtime) for name in names for runtime in MODELS]
    assert list(contenders) == [*expected, Contender("compact", C)]
    assert list(contenders_of(None, NETWORK, NETWORK)) == list(contenders)[4:]


def test_c_code_is_made_of_few_weights_only(monkeypatch):
    monkeypatch.setattr(comparison, "MOST_IN_C", NETWORK.nonzeros - 1)
    runtimes = {runtime for _, runtime in contenders_of(None, NETWORK, NETWORK)}
    assert runtimes == set(MODELS)


def test_a_file_is_measured_as_it_is_and_compacted(measured):
    about = compare_file(SMALL, IMAGES, runs=3, threads=2)
    assert json.loads(json.dumps(about)) == about
    assert {name for name, _ in measured["contenders"]} == {"pruned", "compact"}
    assert (measured["runs"], measured["threads"]) == (3, 2)
    assert (about["runs"], about["images"]) == (3, len(IMAGES))
    assert 0 <= about["difference"] < 1e-5
    networks = about["networks"]
    assert networks["pruned"] == describe_network(CompactNetwork.whole(SMALL))
    assert networks["compact"]["multiply_adds"] < networks["pruned"]["multiply_adds"]
    assert [row["ratio"] for row in about["speedups"]] == [2]


def test_a_dense_network_is_measured_if_there_is_one(measured):
    dense = make_parameters(0)
    about = compare_file(SMALL, IMAGES, runs=1, threads=1, dense=dense)
    assert about["networks"]["dense"] == describe_network(CompactNetwork.whole(dense))
    assert Contender("dense", ONNX) in measured["contenders"]


def test_at_most_256_images_are_measured_and_all_are_checked(measured, monkeypatch):
    counts = []
    genuine = comparison.check_equivalence
    monkeypatch.setattr(
        comparison,
        "check_equivalence",
        lambda *all_: counts.append(len(all_[2])) or genuine(*all_[:2], all_[2][:2]),
    )
    images = np.resize(IMAGES, (CHECKED + 1, 32, 32, 3))
    candidates = {"dense/seed_0": SMALL, "lamp/seed_0/round_1": SMALL}
    compare_candidates(candidates, *reversed(candidates), images, runs=1, threads=1)
    assert measured["images"] == 256
    assert counts == [CHECKED + 1, CHECKED, CHECKED]
    assert measured["shape"] == (1, 32, 32, 3)


CANDIDATES = {"dense/seed_0": make_parameters(0), "lamp/seed_0/round_1": SMALL}
CHOSEN = "lamp/seed_0/round_1"


@pytest.mark.parametrize(
    ("missing", "runtimes"),
    [
        ((), [ONNX, C]),
        ((C,), [ONNX, ONNX]),
        ((ONNX,), [FUNCTION, C]),
        ((ONNX, C), [FUNCTION, FUNCTION]),
    ],
)
def test_each_candidate_is_measured_once_in_the_fastest_runtime_there_is(
    measured, missing, runtimes
):
    measured["missing"] = dict.fromkeys(missing, "not installed")
    about = compare_candidates(
        CANDIDATES, CHOSEN, "dense/seed_0", IMAGES, runs=4, threads=2
    )
    assert json.loads(json.dumps(about)) == about
    assert measured["alone"] == [
        Contender(name, runtime)
        for name, runtime in zip(CANDIDATES, runtimes, strict=True)
    ]
    assert measured["runs_alone"] == 4
    assert [row["name"] for row in about["candidates"]] == list(CANDIDATES)
    assert [row["runtime"] for row in about["candidates"]] == runtimes
    for row in about["candidates"]:
        assert (row["median"], row["p95"]) == (20_000, 40_000)
        assert row["multiply_adds_left"] <= row["multiply_adds"]
    assert about["machine"]["cores"]
    assert about["networks"].keys() == {"dense", "pruned", "compact"}
    assert about["missing"] == measured["missing"]


def test_pixels_are_between_0_and_1():
    found = pixels(np.array([0, 51, 255], np.uint8))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [0, 0.2, 1], rtol=1e-6)


def test_c_code_is_compared_with_the_fastest_runtime_on_the_dense_network():
    timings = [
        timing("dense", KERAS, 1, 2),
        timing("dense", ONNX, 1, 200),
        timing("dense", LITERT, 1, 250),
        timing("dense", FUNCTION, 1, 900),  # no runtime for inference alone
        timing("pruned", ONNX, 1, 5000),
        timing("compact", LITERT, 1, 4000),
        timing("compact", C, 1, 1000),
        timing("dense", KERAS, 32, 10, threads=2),
        timing("dense", ONNX, 32, 300, threads=2),
        timing("dense", LITERT, 32, 250, threads=2),
        timing("compact", C, 32, 1200, threads=2),
    ]
    networks = dict.fromkeys(("dense", "pruned", "compact"))
    assert speedups({"networks": networks, "timings": timings}) == [
        {"batch": 1, "threads": 1, "rival": LITERT, "ratio": 4, "keras": 500},
        {"batch": 32, "threads": 2, "rival": ONNX, "ratio": 4, "keras": 120},
    ]


def test_without_a_dense_network_c_code_is_compared_with_the_pruned_one():
    timings = [
        timing("pruned", KERAS, 1, 4),
        timing("pruned", ONNX, 1, 100),
        timing("compact", C, 1, 300),
    ]
    networks = dict.fromkeys(("pruned", "compact"))
    about = {"networks": networks, "timings": timings}
    (row,) = speedups(about)
    assert row == {"batch": 1, "threads": 1, "rival": ONNX, "ratio": 3, "keras": 75}
    without = [t for t in timings if t["runtime"] != C]
    assert speedups({**about, "timings": without}) == []
    alone = [t for t in timings if t["runtime"] != ONNX]
    assert speedups({**about, "timings": alone}) == []

"""What pruning is worth in time: the candidates of a run, as they are and compacted."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from shears.inference.compact_network import CompactNetwork
from shears.inference.compaction import check_equivalence, compact
from shears.inference.latency import (
    FUNCTION,
    KERAS,
    LITERT,
    MOST_IN_C,
    ONNX,
    RUNTIMES,
    C,
    Contender,
    measure_alone,
    measure_contenders,
)
from shears.model.parameters import Parameters
from shears.runtime import machine

DENSE, PRUNED, COMPACT = "dense", "pruned", "compact"
CHECKED = 500  # images that the candidates which are not chosen are checked with


def compact_and_check(
    parameters: Parameters, images: np.ndarray
) -> tuple[CompactNetwork, float]:
    """Compacts a network and checks it (`check_equivalence`).

    Args:
        parameters: The pruned network.
        images: (N, 32, 32, 3), pixels / 255.

    Returns:
        The compact network and the largest difference of two logits.

    Raises:
        RuntimeError: Logits differ.
    """
    network = compact(parameters)
    return network, check_equivalence(network, parameters, images)


def contenders_of(
    dense: CompactNetwork | None, pruned: CompactNetwork, compacted: CompactNetwork
) -> dict[Contender, CompactNetwork]:
    """Lists each network in each runtime, and the compact one as C code."""
    networks = {DENSE: dense, PRUNED: pruned, COMPACT: compacted}
    everywhere = {
        Contender(name, runtime): network
        for name, network in networks.items()
        if network is not None
        for runtime in RUNTIMES
        if runtime != C
    }
    if compacted.nonzeros <= MOST_IN_C:
        everywhere[Contender(COMPACT, C)] = compacted
    return everywhere


def describe_network(network: CompactNetwork) -> dict[str, Any]:
    """Describes a network's size and work."""
    return {
        "widths": list(network.widths),
        "parameters": network.parameters,
        "nonzeros": network.nonzeros,
        "multiply_adds": network.multiply_adds,
        "multiply_adds_left": network.multiply_adds_left,
        "multiply_adds_in_c": network.multiply_adds_in_c,
    }


def compare_file(
    parameters: Parameters,
    images: np.ndarray,
    *,
    runs: int,
    threads: int,
    dense: Parameters | None = None,
) -> dict[str, Any]:
    """Measures a network as it is and compacted, and a dense one if there is one.

    Args:
        parameters: The pruned network.
        images: (N, 32, 32, 3) float32, pixels / 255: what the compact network is
            checked with.
        runs: As for `measure_contenders`.
        threads: What is measured besides one thread.
        dense: The network it was pruned from.

    Returns:
        What `measure_contenders` returns, and "networks" (`describe_network`),
        "difference" (the largest of two logits), "images", "runs" and `speedups`.

    Raises:
        RuntimeError: The compact network's logits differ.
    """
    compacted, difference = compact_and_check(parameters, images)
    pruned = CompactNetwork.whole(parameters)
    whole = None if dense is None else CompactNetwork.whole(dense)
    contenders = contenders_of(whole, pruned, compacted)
    about = {
        "runs": runs,
        "images": len(images),
        "difference": difference,
        "networks": {
            contender.network: describe_network(network)
            for contender, network in contenders.items()
        },
        **measure_contenders(contenders, images[:256], runs, threads),
    }
    return {**about, "speedups": speedups(about)}


def compare_candidates(
    candidates: Mapping[str, Parameters],
    chosen: str,
    dense: str,
    images: np.ndarray,
    *,
    runs: int,
    threads: int,
) -> dict[str, Any]:
    """Measures the chosen candidate in every runtime, and each candidate once.

    Args:
        candidates: By name.
        chosen: The chosen one's name.
        dense: The name of the baseline that it was pruned from.
        images: (N, 32, 32, 3) float32, pixels / 255: the test images.
        runs: As for `measure_contenders`.
        threads: What is measured besides one thread.

    Returns:
        What `compare_file` returns, and "candidates": for each its name, the runtime it
        was measured in (C code if there are few weights and a compiler, else ONNX
        Runtime, or a ``tf.function`` where that is missing), its median and 95th
        percentile for one image and thread, and `describe_network`; "machine".

    Raises:
        RuntimeError: A compact network's logits differ.
    """
    about = compare_file(
        candidates[chosen], images, runs=runs, threads=threads, dense=candidates[dense]
    )
    compacted = {
        name: compact_and_check(parameters, images[:CHECKED])[0]
        for name, parameters in candidates.items()
    }
    other = FUNCTION if ONNX in about["missing"] else ONNX
    sparse = other if C in about["missing"] else C
    contenders = {
        Contender(name, sparse if network.nonzeros <= MOST_IN_C else other): network
        for name, network in compacted.items()
    }
    rows = [
        {
            "name": timing["network"],
            "runtime": timing["runtime"],
            "median": timing["median"],
            "p95": timing["p95"],
            **describe_network(compacted[timing["network"]]),
        }
        for timing in measure_alone(contenders, images[:1], runs)
    ]
    return {**about, "candidates": rows, "machine": machine.describe()}


def pixels(images: np.ndarray) -> np.ndarray:
    """Divides uint8 pixels by 255, as float32."""
    return images.astype(np.float32) / 255


def speedups(about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compares the C code with what a dense network takes.

    Args:
        about: "networks" and "timings", as `compare_file` returns them.

    Returns:
        A row for each size of batch and number of threads with "batch", "threads",
        "rival" (the faster of ONNX Runtime and LiteRT on the dense network, or on the
        pruned one if no dense one was measured), "ratio" to it in images a second and
        "keras", the ratio to Keras' ``predict``. Empty without C code.
    """
    network = DENSE if DENSE in about["networks"] else PRUNED
    speeds: dict[tuple[int, int], dict[str, float]] = {}
    for timing in about["timings"]:
        if timing["network"] == (COMPACT if timing["runtime"] == C else network):
            key = timing["batch"], timing["threads"]
            speeds.setdefault(key, {})[timing["runtime"]] = timing["images_per_second"]
    rows = []
    for (batch, threads), speed in speeds.items():
        rivals = {name: speed[name] for name in (ONNX, LITERT) if name in speed}
        if C in speed and rivals:
            rival = max(rivals, key=lambda name: rivals[name])
            rows.append(
                {
                    "batch": batch,
                    "threads": threads,
                    "rival": rival,
                    "ratio": speed[C] / rivals[rival],
                    "keras": speed[C] / speed[KERAS],
                }
            )
    return rows

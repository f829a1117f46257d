"""Score reports about invented candidates, for tests."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from shears.data.dataset import Split, write_dataset
from shears.inference.compact_network import CompactNetwork
from shears.inference.comparison import contenders_of, speedups
from shears.inference.latency import ONNX, C, Timing
from shears.model.architecture import LAYERS
from shears.reporting.candidates import Candidate
from shears.reporting.report import write_report
from shears.runtime.files import write_csv, write_json
from shears.weight_files.canonical import write_weights
from tests.conftest import make_parameters

ROOT = Path(__file__).parents[1]
IMAGES = 40


def candidate(name: str, accuracy: float, sparsity: float, folder="") -> Candidate:
    score = {
        "images": 5000,
        "correct": round(5000 * accuracy),
        "zeros": round(1_250_858 * sparsity),
        "accuracy": accuracy,
        "sparsity": sparsity,
        "score": (accuracy + sparsity) / 2,
    }
    row = {
        "epoch": 1.0,
        "loss": 1.0,
        "validation_loss": 1.1,
        "accuracy": 0.5,
        "validation_accuracy": accuracy,
        "sparsity": sparsity,
    }
    metrics = {
        "epochs": 2,
        "seconds": 90.0,
        "images_per_second": 1234.5,
        "kernel_density": {layer.name: 0.5 for layer in LAYERS},
        "device": "cpu",
        "precision": "float32",
        "seed": 0,
    }
    history = [row, {**row, "epoch": 2.0}]
    files = [Path(folder) / name / file for file in ("weights.h5", "predictions.csv")]
    test = {**score, "images": IMAGES}
    validation = {**score, "training_accuracy": accuracy + 0.01}
    return Candidate(name, validation, test, metrics, history, *files)


def latency(names: Sequence[str], missing: Mapping[str, str] | None = None) -> dict:
    """Invents what `measure_latency` measures, in one and two threads."""
    missing = dict(missing or {})
    whole = CompactNetwork.whole(make_parameters(0, zeros=0.9))
    contenders = [c for c in contenders_of(*[whole] * 3) if c.runtime not in missing]
    batches = (1, 32, 256)
    timings = [
        Timing(*one, threads, batch, 100, us := 1000 * batch / (i + 1), 2 * us, rate)
        for threads in (1, 2)
        for batch in batches
        for i, one in enumerate(contenders)
        for rate in [1000.0 * threads * (i + 1)]
    ]
    about = {
        "runs": 20,
        "images": 10_000,
        "difference": 1.25e-6,
        "networks": {
            name: {
                "widths": [32, 32, 64, 64, 512],
                "parameters": 1_250_858,
                "nonzeros": 125_000,
                "multiply_adds": 20_741_120,
                "multiply_adds_left": 5_110_000,
                "multiply_adds_in_c": 4_800_000,
            }
            for name in ("dense", "pruned", "compact")
        },
        "contenders": [
            {**one._asdict(), "bytes": 5_004_321, "gzip_bytes": 4e5, "memory": memory}
            for one in contenders
            for memory in [3 << 26 if one.network == "compact" else None]
        ],
        "timings": [timing._asdict() for timing in timings],
        "peaks": [
            {"threads": threads, "flops": 1e12 * threads, "bytes": 2e10}
            for threads in (1, 2)
        ],
        "missing": missing,
        "candidates": [
            {"name": name, "runtime": ONNX if i else C, "median": 90 + i, "p95": 99 + i}
            for i, name in enumerate(names)
        ],
        "machine": {"cores": 2},
    }
    return {**about, "speedups": speedups(about)}


def write_files(folder: Path) -> None:
    """Writes the files of a run: weights, predictions, images, manifest, costs."""
    manifest = {
        "file": "my_model_weights.h5",
        "bytes": 123_456,
        "sha256": "ab" * 32,
        "zeros": 1_188_315,
        "parameters": 1_250_858,
        "sparsity": 0.95,
        "test": {"accuracy": 0.81, "score": 0.88},
        "machine": {
            "cpu": "<b>cpu</b>",
            "cores": 2,
            "system": "Linux",
            "python": "3",
            "tensorflow": "2",
            "keras": "3",
            "numpy": "2",
            "h5py": "3",
            "commit": None,
        },
    }
    write_json(folder / "manifest.json", manifest)
    rng = np.random.default_rng(0)
    labels = (np.arange(IMAGES) % 10).astype(np.uint8)
    images = rng.integers(0, 256, (IMAGES, 32, 32, 3), dtype=np.uint8)
    write_dataset(folder / "dataset.h5", {"test": Split(images, labels)})
    for i, name in enumerate(("dense/seed_0", "lamp/seed_0/round_1")):
        write_weights(folder / name / "weights.h5", make_parameters(0, zeros=0.9 * i))
        predictions = labels.copy()
        # Pruning makes images 0, 1 and 2 wrong: airplane, automobile, bird.
        predictions[: 3 * i] = 9
        pairs = zip(labels.tolist(), predictions.tolist(), strict=True)
        rows = [{"label": label, "prediction": class_} for label, class_ in pairs]
        write_csv(folder / name / "predictions.csv", rows)
    (folder / "benchmarks/optimizers").mkdir(parents=True)
    for path, line in {
        "lamp/train.tsv": "600.5\t1000.25",
        "train.tsv": "30\t2000.5",
        "choose.tsv": "0.1\tNA",
        "optimizers/sparse.adam.ours.tsv": "60\t500",
    }.items():
        (folder / "benchmarks" / path).parent.mkdir(exist_ok=True)
        (folder / "benchmarks" / path).write_text(
            f"s\tmax_rss\n{line}\n", encoding="utf-8"
        )


def render(
    folder: Path,
    study=None,
    more=(),
    refused=("lamp/seed_0/round_2",),
    chosen="lamp/seed_0/round_1",
    imported=None,
    measured=True,
    missing=None,
    objective="score",
) -> str:
    """Renders the report on a folder's files; its figures go to `figures` there.

    With `imported`, the baseline was not trained; its metrics say that of it. Latency
    is left out unless `measured`, and was measured without the runtimes in `missing`.
    """
    dense = candidate("dense/seed_0", 0.85, 0.0, folder)
    if imported:
        metrics = {**dense.metrics, "imported": imported}
        dense = dense._replace(history=[], metrics=metrics)
    choice = {
        "candidate": chosen,
        "reason": "best of two",
        "objective": objective,
        "least_accuracy": 0.7125,
        "refused": list(refused),
    }
    candidates = [
        dense,
        candidate("lamp/seed_0/round_1", 0.81, 0.95, folder),
        *more,
    ]
    write_json(
        folder / "latency.json", latency([one.name for one in candidates], missing)
    )
    write_report(
        candidates,
        choice,
        baselines={"lamp/seed_0": "dense/seed_0"},
        manifest=folder / "manifest.json",
        data_set="cifar10",
        dataset=folder / "dataset.h5",
        study=study or {},
        latency=folder / "latency.json" if measured else None,
        costs=folder / "benchmarks",
        config={"seeds": [0]},
        command="snakemake --cores all --config 'seeds=[0]'",
        template=ROOT / "report/report.html.j2",
        report=folder / "report.html",
        configuration=folder / "configuration.json",
        figures=folder / "figures",
    )
    return (folder / "report.html").read_text(encoding="utf-8")

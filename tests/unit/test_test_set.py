"""Only scoring reads the test images: every other stage runs where there are none."""

import importlib
from pathlib import Path

import pytest
import yaml

from shears.data.dataset import write_dataset
from shears.runtime.errors import UserError
from shears.runtime.files import read_json
from tests.unit.training.test_loop import AUGMENTED, make_data

ROOT = Path(__file__).parents[2]
HOW = {"code": "", "threads": 2, "gpus": 0, "log": "", "tensorboard": False}
VIEWS = {"count": 2, "crop": 1, "flip": True, "seed": 0}
RECIPE = {**vars(AUGMENTED), "epochs": 1}


def candidate(folder: Path) -> dict[str, str]:
    folder.mkdir()
    names = {"weights": "weights.h5", "history": "a.csv", "metrics": "a.json"}
    return {kind: str(folder / name) for kind, name in names.items()}


def script(name: str):
    return getattr(importlib.import_module(f"scripts.{name}"), name)


def test_only_scoring_reads_the_test_images(tmp_path, monkeypatch):
    # TensorFlow is set up already in this process.
    for module in ("training.run_context", "runtime.device"):
        monkeypatch.setattr(f"shears.{module}.prepare", lambda *how: "cpu")
    for name in ("ask_teacher", "ask_baseline", "score_candidate"):
        monkeypatch.setattr(f"scripts.{name}.prepare", lambda *how: "cpu")
    dataset = str(tmp_path / "dataset.h5")
    write_dataset(dataset, {"train": make_data(), "validation": make_data()})
    settings = {"precision": "float32", "seed": 0, "recipe": RECIPE}

    def how(name: str) -> dict:
        return {**HOW, "checkpoint": str(tmp_path / f"{name}.npz")}

    teacher = {
        "teacher": str(tmp_path / "teacher.npz"),
        "history": str(tmp_path / "teacher.csv"),
        "metrics": str(tmp_path / "teacher.json"),
    }
    script("train_teacher")(
        {"dataset": dataset}, teacher, {**settings, "width": 0.5}, **how("teacher")
    )
    lessons = str(tmp_path / "lessons.h5")
    script("ask_teacher")(
        dataset=dataset,
        teacher=teacher["teacher"],
        lessons=lessons,
        settings=VIEWS,
        threads=2,
        gpus=0,
    )
    dense = candidate(tmp_path / "dense")
    script("train_baseline")(
        {"dataset": dataset, "lessons": lessons}, dense, settings, **how("dense")
    )
    script("ask_baseline")(
        dataset=dataset,
        weights=dense["weights"],
        lessons=lessons,
        settings=VIEWS,
        threads=2,
        gpus=0,
    )
    method = yaml.safe_load((ROOT / "config.yaml").read_text())["pruning"]
    sparse = candidate(tmp_path / "sparse")
    script("prune_round")(
        {"dataset": dataset, "lessons": lessons, "previous": dense["weights"]},
        sparse,
        {
            **{"densities": [1] * 6, "shuffled": False, "initial_seed": 0},
            **method,
            **settings,
            "sparsity": 0.9,
        },
        **how("sparse"),
    )
    assert read_json(sparse["metrics"])["sparsity"] == pytest.approx(0.9, abs=1e-6)
    with pytest.raises(UserError, match="its test split"):
        script("score_candidate")(
            weights=sparse["weights"],
            dataset=dataset,
            scores={"test": str(tmp_path / "score.json")},
            answers=str(tmp_path / "answers.csv"),
            threads=2,
        )

"""Only scoring reads the test images: every other job runs where there are none."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from shears.config import parse_configuration
from shears.data.dataset import Split, read_split, write_dataset
from shears.data.views import ViewSettings
from shears.inference.compaction import compact
from shears.plan import plan
from shears.runtime.errors import UserError
from shears.runtime.files import read_json
from shears.training.outputs import TrainingFiles
from shears.training.run_context import RunContext
from shears.weight_files.canonical import read_weights
from tests import ROOT
from tests.unit.training.recipes import AUGMENTED, change, make_data

VIEWS = {
    "views": ViewSettings(count=2, crop=1),
    "numbers": range(2),
    "precision": "float32",
}
RECIPE = change(AUGMENTED, epochs=1)
CONTEXT = RunContext(precision="float32", seed=0)


def training_files(folder: Path) -> TrainingFiles:
    return TrainingFiles(folder / "weights.h5", folder / "a.csv", folder / "a.json")


def script(name: str):
    return getattr(importlib.import_module(f"scripts.{name}"), name)


def test_a_refits_file_has_all_images_and_none_to_validate_or_test_on(tmp_path):
    settings = {"archive": "", "name": "digits", "seed": 0, "training_images": 0}
    files = {}
    for name in ("run", "refit", "again"):
        files[name] = str(tmp_path / f"{name}.h5")
        script("prepare_dataset")(
            dataset=files[name],
            validation_images=300,
            **settings,
            **({} if name == "run" else {"all_images": True}),
        )
    assert Path(files["refit"]).read_bytes() == Path(files["again"]).read_bytes()
    parts = [read_split(files["run"], name) for name in ("train", "validation")]
    whole = read_split(files["refit"], "train")
    np.testing.assert_array_equal(
        whole.images, np.concatenate([part.images for part in parts])
    )
    np.testing.assert_array_equal(
        whole.labels, np.concatenate([part.labels for part in parts])
    )
    assert len(read_split(files["refit"], "validation").labels) == 0
    with pytest.raises(UserError, match="its test split"):
        read_split(files["refit"], "test")


@pytest.mark.parametrize("refit", [False, True])
def test_only_scoring_reads_the_test_images(tmp_path, refit):
    dataset = str(tmp_path / "dataset.h5")
    validation = Split(*(part[:0] for part in make_data())) if refit else make_data()
    write_dataset(dataset, {"train": make_data(), "validation": validation})
    teacher, logits = str(tmp_path / "teacher.npz"), str(tmp_path / "logits.h5")
    script("train_teacher")(
        RECIPE,
        0.5,
        CONTEXT,
        dataset=dataset,
        teacher_file=teacher,
        history=str(tmp_path / "teacher.csv"),
        metrics=str(tmp_path / "teacher.json"),
    )
    script("save_teacher_logits")(
        dataset=dataset, teachers=[teacher], teacher_logits=logits, **VIEWS
    )
    dense = training_files(tmp_path / "dense")
    script("train_baseline")(
        RECIPE, CONTEXT, dense, dataset=dataset, teacher_logits=[logits]
    )
    script("save_baseline_logits")(
        dataset=dataset, weights=dense.weights, teacher_logits=logits, **VIEWS
    )
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    spec = plan(parse_configuration(config)).round_spec("lamp", 0, 1)
    accuracy = read_json(dense.metrics)["validation_accuracy"]
    assert (accuracy is None) == refit
    if not refit:  # what is imported is not trained again
        mine = training_files(tmp_path / "mine")
        script("import_baseline")(CONTEXT, mine, source=dense.weights, dataset=dataset)
        assert Path(mine.weights).read_bytes() == Path(dense.weights).read_bytes()
        assert read_json(mine.metrics)["validation_accuracy"] == pytest.approx(accuracy)
        header = Path(dense.history).read_text(encoding="utf-8").splitlines()[:1]
        assert Path(mine.history).read_text(encoding="utf-8").splitlines() == header
    sparse = training_files(tmp_path / "sparse")
    script("prune_round")(
        RECIPE,
        spec.model_copy(update={"sparsity": 0.9}),
        CONTEXT,
        sparse,
        dataset=dataset,
        previous=dense.weights,
        teacher_logits=[logits],
    )
    assert read_json(sparse.metrics)["sparsity"] == pytest.approx(0.9, abs=1e-6)
    scored = tmp_path / "validation.json"
    with pytest.raises(UserError, match="its test split"):
        script("score_candidate")(
            weights=sparse.weights,
            dataset=dataset,
            validation=None if refit else scored,
            test=tmp_path / "test.json",
            predictions=tmp_path / "predictions.csv",
        )
    if refit:
        return
    network = compact(read_weights(sparse.weights))
    assert read_json(scored)["multiply_adds"] == network.multiply_adds_left > 0
    assert 0 < read_json(scored)["training_accuracy"] <= 1

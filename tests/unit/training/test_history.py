import math

import pytest

from shears.runtime.files import read_csv, read_json
from shears.training.history import measure_training, save_metrics
from shears.training.run_context import RunContext

CONTEXT = RunContext(precision="float32", seed=3, device="a GPU")
HISTORY = [
    {
        "epoch": float(epoch),
        "validation_accuracy": epoch / 10,
        "seconds": 10.0 * epoch,
        "images_per_second": speed,
    }
    for epoch, speed in enumerate((1.0, 70.0, 90.0, 500.0), 1)
]


def test_a_training_is_summarised_by_its_last_epoch():
    assert measure_training(HISTORY, CONTEXT) == {
        "epochs": 4,
        "seed": 3,
        "device": "a GPU",
        "precision": "float32",
        "seconds": 40.0,
        "images_per_second": 90.0,  # the median without the first epoch
        "validation_accuracy": 0.4,
    }


def test_the_only_epoch_gives_the_speed():
    assert measure_training(HISTORY[:1], CONTEXT)["images_per_second"] == 1.0


def test_details_and_the_machine_are_added_to_the_metrics(tmp_path):
    files = (tmp_path / "a.csv", tmp_path / "a.json")
    save_metrics(*files, HISTORY, CONTEXT, {"zeros": 5})
    assert read_csv(files[0]) == HISTORY
    metrics = read_json(files[1])
    machine = metrics.pop("machine")
    assert metrics == {**measure_training(HISTORY, CONTEXT), "zeros": 5}
    assert machine["cores"] >= 1


def test_a_history_of_no_number_is_not_written_half(tmp_path):
    bad = [{**HISTORY[0], "seconds": float("nan")}]
    with pytest.raises(ValueError):
        save_metrics(tmp_path / "a.csv", tmp_path / "a.json", bad, CONTEXT, {})
    assert not (tmp_path / "a.json").exists()


def test_without_validation_images_there_is_no_accuracy(tmp_path):
    nothing = {"validation_loss": math.nan, "validation_accuracy": math.nan}
    files = (tmp_path / "a.csv", tmp_path / "a.json")
    save_metrics(*files, [{**HISTORY[0], **nothing}], CONTEXT, {})
    assert math.isnan(read_csv(files[0])[0]["validation_accuracy"])
    assert read_json(files[1])["validation_accuracy"] is None

from pathlib import Path

import pytest

from shears.runtime.device import choose_precision
from shears.training.run_context import RunContext, start_run

SETTINGS = {"precision": "float32", "seed": 3, "recipe": {"epochs": 2}}


@pytest.fixture
def start(tmp_path):
    """Starts a run in a folder with two inputs; options override what it is given."""
    for name in ("data", "weights"):
        (tmp_path / name).write_text(name, encoding="utf-8")

    def start(event_log=None, **changes) -> RunContext:
        options = {
            "device": "cpu",
            "inputs": {name: tmp_path / name for name in ("data", "weights")},
            "settings": SETTINGS,
            "code": "abc",
            "checkpoint": tmp_path / "a.npz",
            **changes,
        }
        device, inputs = options.pop("device"), options.pop("inputs")
        return start_run(device, inputs, event_log, **options)

    return start


def test_it_holds_what_training_needs(start, tmp_path):
    context = start(device="a GPU")
    assert (context.precision, context.seed, context.device) == ("float32", 3, "a GPU")
    assert context.checkpoint.path == tmp_path / "a.npz"
    assert context.tensorboard is None


def test_another_input_setting_or_code_is_another_checkpoint(start, tmp_path):
    data, weights = tmp_path / "data", tmp_path / "weights"
    keys = [
        start().checkpoint.key,
        start(code="abd").checkpoint.key,
        start(settings={**SETTINGS, "seed": 4}).checkpoint.key,
        start(settings={**SETTINGS, "recipe": {"epochs": 3}}).checkpoint.key,
        start(settings={**SETTINGS, "precision": "bfloat16"}).checkpoint.key,
        start(inputs={"data": weights, "weights": data}).checkpoint.key,
        start(inputs={"data": data, "teacher": weights}).checkpoint.key,
    ]
    weights.write_text("other weights", encoding="utf-8")
    keys.append(start().checkpoint.key)
    assert len(set(keys)) == len(keys)


def test_what_changes_no_result_is_the_same_checkpoint(start, tmp_path):
    key = start().checkpoint.key
    paths = {name: tmp_path / name for name in ("weights", "data")}
    assert start(inputs=paths).checkpoint.key == key  # in another order
    assert start(event_log="a.log", device="a GPU").checkpoint.key == key
    elsewhere = (tmp_path / "data").rename(tmp_path / "moved")
    assert start(inputs={**paths, "data": elsewhere}).checkpoint.key == key


def test_the_precision_that_is_chosen_counts_not_how(start):
    chosen = choose_precision("auto")
    contexts = [
        start(settings={**SETTINGS, "precision": name}) for name in ("auto", chosen)
    ]
    assert [context.precision for context in contexts] == [chosen] * 2
    assert len({context.checkpoint.key for context in contexts}) == 1


def test_event_files_are_beside_the_log(start):
    assert start(event_log="logs/a.log").tensorboard == Path("logs/a.tensorboard")

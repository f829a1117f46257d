import math
from dataclasses import replace

import numpy as np
import pytest

from shears.data.dataset import Split
from shears.data.views import ViewSettings, draw_view
from shears.model.forward import logits
from shears.model.parameters import initial_parameters
from shears.pruning.mask_plan import MaskPlan, MaskUpdate
from shears.pruning.masks import make_mask
from shears.runtime.backend import tf
from shears.runtime.device import choose_precision
from shears.runtime.errors import UserError
from shears.training.checkpoint import Checkpoint, State
from shears.training.loop import train_network
from shears.training.run_context import RunContext
from shears.training.soft_targets import SoftTargets
from tests.unit.training.recipes import AUGMENTED, PLAIN, change, make_data


def by_magnitude(snapshot, update: MaskUpdate):
    return snapshot.weights, make_mask(snapshot.weights, update.zeros)


def run(
    recipe=AUGMENTED,
    *,
    seed=1,
    precision="float32",
    checkpoint=None,
    tensorboard=None,
    validation=None,
    **options,
):
    """Trains on a few images; the vector of the parameters, and the history."""
    context = RunContext(
        precision=precision, seed=seed, checkpoint=checkpoint, tensorboard=tensorboard
    )
    start, data = initial_parameters(0), make_data()
    shown = data if validation is None else validation
    trained, history = train_network(start, data, shown, recipe, context, **options)
    return trained.vector, history


@pytest.mark.parametrize("precision", ["float32", choose_precision("auto")])
def test_the_same_seed_gives_the_same_bytes(precision):
    one, same, other = (run(seed=seed, precision=precision)[0] for seed in (1, 1, 2))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


class KilledAfter(Checkpoint):
    """A checkpoint whose process dies in a given epoch, before or after saving it."""

    epoch, before = 0, False

    def save(self, state: State) -> None:
        dies = len(state.history) == self.epoch
        if dies and self.before:
            raise KeyboardInterrupt
        super().save(state)
        if dies:
            raise KeyboardInterrupt


LONGER = change(AUGMENTED, epochs=4, weight_decay=0.1)


def prune_at(zeros: dict[int, int]) -> MaskPlan:
    """Masks by magnitude: how many zeros, by step."""
    return MaskPlan({s: MaskUpdate(n) for s, n in zeros.items()}, by_magnitude)


MASKS = prune_at({0: 400_000, 4: 800_000, 10: 1_000_000})
TIMES = {"seconds", "images_per_second"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "batch_norm", "before", "dynamic"),
    [
        ("adam", False, True, False),
        ("adam", False, False, False),
        ("sgd", False, True, False),
        ("sgd", False, False, False),
        ("adam", True, False, False),
        ("adam", False, False, True),
        ("adam", True, False, True),
    ],
)
def test_a_training_killed_in_every_epoch_ends_in_the_same_bytes(
    tmp_path, optimizer, batch_norm, before, dynamic, caplog
):
    caplog.set_level("INFO", logger="shears")
    recipe = change(LONGER, optimizer=optimizer, momentum=0.9, batch_norm=batch_norm)
    masks = replace(MASKS, dynamic=dynamic)
    whole, expected = run(recipe, masks=masks)
    caplog.clear()
    checkpoint = KilledAfter(tmp_path / "a.npz", "key")
    for checkpoint.epoch in (1, 2, 3, 4):
        # A kill before the epoch is saved, then one after it.
        for checkpoint.before in (True, False) if before else (False,):
            with pytest.raises(KeyboardInterrupt):
                run(recipe, masks=masks, checkpoint=checkpoint)
    last = Checkpoint(tmp_path / "a.npz", "key")
    resumed, history = run(recipe, masks=masks, checkpoint=last)
    assert resumed.tobytes() == whole.tobytes()
    assert [{k: v for k, v in row.items() if k not in TIMES} for row in history] == [
        {k: v for k, v in row.items() if k not in TIMES} for row in expected
    ]
    seconds = [row["seconds"] for row in history]
    assert seconds == sorted(seconds)
    assert "resuming after epoch 4/4" in caplog.text


def test_a_checkpoint_of_other_settings_is_not_resumed(tmp_path, caplog):
    caplog.set_level("INFO", logger="shears")
    run(checkpoint=Checkpoint(tmp_path / "a.npz", "key"))
    trained, _ = run(seed=2, checkpoint=Checkpoint(tmp_path / "a.npz", "other"))
    assert trained.tobytes() == run(seed=2)[0].tobytes()
    assert "resuming" not in caplog.text
    assert "from other settings or data; starting over" in caplog.text


def test_a_damaged_checkpoint_is_reported_and_not_resumed(tmp_path, caplog):
    (tmp_path / "a.npz").write_bytes(b"PK damaged")
    trained, _ = run(checkpoint=Checkpoint(tmp_path / "a.npz", "key"))
    assert trained.tobytes() == run()[0].tobytes()
    assert "a.npz: damaged" in caplog.text


def test_training_learns_what_it_is_shown():
    recipe = change(PLAIN, epochs=40)
    _, history = run(recipe)
    assert history[0]["validation_accuracy"] < 0.4
    assert history[-1]["validation_accuracy"] > 0.9
    assert [row["epoch"] for row in history] == list(range(1, 41))


@pytest.mark.parametrize("dynamic", [False, True])
def test_pruning_while_training_ends_with_exactly_the_zeros_of_the_plan(
    dynamic, caplog
):
    caplog.set_level("INFO", logger="shears")
    # 3 steps per epoch: masks are made before the first, second and fourth step.
    masks = prune_at({0: 400_000, 1: 800_000, 3: 1_000_000})
    trained, history = run(masks=replace(masks, dynamic=dynamic))
    assert [round(row["sparsity"] * 1_250_858) for row in history] == [
        800_000,
        1_000_000,
    ]
    assert np.count_nonzero(trained == 0) == 1_000_000
    assert "epoch 2/2  loss" in caplog.text
    assert "sparsity 0.7995" in caplog.text


def test_divergence_is_reported_plainly():
    with pytest.raises(UserError, match=r"diverged in epoch \d+ .*learning_rate"):
        run(change(PLAIN, optimizer="sgd", learning_rate=10.0, epochs=30))


def test_fewer_images_than_a_batch_make_one_step():
    _, history = run(change(PLAIN, batch_size=1000, epochs=1))
    assert history[0]["images_per_second"] > 0


def test_tensorboard_files_are_written_when_wanted(tmp_path):
    run(tensorboard=tmp_path)
    (events,) = tmp_path.iterdir()
    assert b"validation_accuracy" in events.read_bytes()


def test_a_student_of_a_right_teacher_learns_without_labels():
    data = make_data()
    teacher_logits = np.zeros((1, 48, 10), np.float16)
    teacher_logits[0, np.arange(48), data.labels] = 9
    view = draw_view(48, 0, ViewSettings(crop=0, flip=False))
    arrays = (array[None] for array in view)
    soft_targets = SoftTargets(*arrays, teacher_logits, 0)
    recipe = change(PLAIN, epochs=40, distillation=1.0, temperature=2.0)
    _, history = run(recipe, soft_targets=soft_targets)
    assert history[-1]["validation_accuracy"] > 0.9


def test_training_on_normalised_pixels_gives_weights_for_plain_pixels():
    recipe = change(PLAIN, normalise=True, epochs=3)
    trained, history = run(recipe)
    data = make_data()
    outputs = logits(tf.constant(trained), data.images.astype("f4") / 255)
    accuracy = np.mean(np.argmax(outputs, 1) == data.labels)
    assert history[-1]["validation_accuracy"] == pytest.approx(accuracy)
    plain, _ = run(change(recipe, normalise=False))
    assert np.abs(plain - trained).max() > 1e-3  # it does something


def test_pruning_on_normalised_pixels_ends_with_exactly_the_zeros_of_the_plan():
    recipe = change(LONGER, normalise=True, ema_decay=0.9)
    trained, _ = run(recipe, masks=MASKS)
    assert np.count_nonzero(trained == 0) == 1_000_000


def test_without_validation_images_nothing_else_changes(tmp_path, caplog):
    caplog.set_level("INFO", logger="shears")
    nothing = Split(*(part[:0] for part in make_data()))
    trained, history = run(validation=nothing)
    expected, with_images = run()
    assert trained.tobytes() == expected.tobytes()
    for row, other in zip(history, with_images, strict=True):
        assert math.isnan(row["validation_loss"])
        assert math.isnan(row["validation_accuracy"])
        assert row["loss"] == other["loss"]
    lines = [r.message for r in caplog.records if "epoch 2/2" in r.message]
    assert ["validation" in line for line in lines] == [False, True]

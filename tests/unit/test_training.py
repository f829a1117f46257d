from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from shears.architecture import flatten, initial_weights, unflatten
from shears.backend import tf
from shears.checkpoint import Checkpoint, State
from shears.dataset import Split
from shears.device import choose_precision
from shears.errors import UserError
from shears.network import logits
from shears.pruning import make_mask
from shears.training import Recipe, Step, train
from tests.conftest import make_weights

PLAIN = Recipe(
    epochs=2,
    batch_size=16,
    optimizer="adam",
    learning_rate=1e-3,
    schedule="constant",
    warmup_epochs=0,
    beta_1=0.9,
    beta_2=0.99,
    epsilon=1e-7,
    momentum=0.0,
    weight_decay=0.0,
    label_smoothing=0.0,
    dropout=(0.0, 0.0, 0.0),
    flip=False,
    crop=0,
)
AUGMENTED = replace(PLAIN, dropout=(0.1, 0.2, 0.3), flip=True, crop=4)
ROWS = np.arange(16, dtype=np.int32)


def make_data(count: int = 48) -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    return Split(images, rng.integers(0, 10, count).astype(np.uint8))


def make_step(recipe: Recipe, weights=None) -> Step:
    weights = weights or make_weights(0)
    return Step(weights, make_data(), recipe, precision="float32", seed=7)


def take(step: Step, taken: int, rate: float) -> None:
    step(tf.constant(ROWS), tf.constant(taken), tf.constant(rate))


def gradient(vector: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    """The gradient of the mean cross-entropy of the first 16 images, by Keras' loss."""
    data = make_data()
    targets = np.eye(10, dtype=np.float32)[data.labels[ROWS]]
    loss = tf.keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing
    )
    variable = tf.Variable(vector)
    with tf.GradientTape() as tape:
        value = loss(targets, logits(variable, data.images[ROWS].astype("f4") / 255))
    return tape.gradient(value, variable).numpy()


def test_two_adam_steps_by_the_papers_equations():
    recipe = replace(PLAIN, weight_decay=0.1, label_smoothing=0.2)
    step, vector = make_step(recipe), flatten(make_weights(0)).astype(np.float64)
    m = v = np.zeros_like(vector)
    for t, rate in ((1, 1e-3), (2, 5e-4)):
        g = gradient(vector.astype(np.float32), 0.2).astype(np.float64)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        scaled = rate * np.sqrt(1 - 0.99**t) / (1 - 0.9**t)
        vector = vector - rate * 0.1 * vector - scaled * m / (np.sqrt(v) + 1e-7)
        take(step, t - 1, rate)
    moved = step.vector.numpy() - flatten(make_weights(0))
    expected = vector - flatten(make_weights(0))
    # Adam divides by |g|: where g is nearly 0 rounding decides, so compare the bulk.
    close = np.isclose(moved, expected, rtol=1e-2, atol=1e-6)
    assert close.mean() > 0.999
    assert np.abs(moved).max() < 2e-3


def test_two_momentum_steps_by_hand():
    recipe = replace(PLAIN, optimizer="sgd", momentum=0.9)
    step, vector = make_step(recipe), flatten(make_weights(0))
    velocity = np.zeros_like(vector)
    for taken in range(2):
        velocity = 0.9 * velocity - 0.01 * gradient(vector)
        vector = vector + velocity
        take(step, taken, 0.01)
    np.testing.assert_allclose(step.vector.numpy(), vector, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_masked_weights_stay_exactly_zero(optimizer):
    recipe = replace(AUGMENTED, optimizer=optimizer, momentum=0.9, weight_decay=0.1)
    step = make_step(recipe)
    take(step, 0, 1e-3)  # moments that would move a masked weight
    mask = make_mask(step.vector.numpy(), 1_100_000, "lamp")
    step.set_mask(mask)
    for taken in range(1, 4):
        take(step, taken, 1e-3)
    vector = step.vector.numpy()
    assert not vector[mask == 0].any()
    assert np.count_nonzero(vector) == mask.sum()


def test_augmented_images_are_shifted_mirrored_originals():
    step, data = make_step(AUGMENTED), make_data()
    found = set()
    for counter in range(4):
        images = step._augment(tf.constant(ROWS), tf.constant([7, counter])).numpy()
        for image, original in zip(images, data.images[ROWS], strict=True):
            padded = np.pad(original, ((4, 4), (4, 4), (0, 0)), mode="reflect")
            matches = [
                (y, x, mirrored)
                for y in range(9)
                for x in range(9)
                for mirrored in (False, True)
                if np.array_equal(
                    image[:, ::-1] if mirrored else image,
                    padded[y : y + 32, x : x + 32],
                )
            ]
            assert len(matches) == 1
            found.add(matches[0])
    assert {m[0] for m in found} == {m[1] for m in found} == set(range(9))
    assert {m[2] for m in found} == {False, True}


def test_without_augmentation_images_are_the_originals():
    images = make_step(PLAIN)._augment(tf.constant(ROWS), tf.constant([0, 0]))
    np.testing.assert_array_equal(images, make_data().images[ROWS])


def test_flip_alone_mirrors_some():
    step = make_step(replace(PLAIN, flip=True))
    images, originals = (
        step._augment(tf.constant(ROWS), tf.constant([0, 0])),
        make_data(),
    )
    same = [
        np.array_equal(a, b) for a, b in zip(images, originals.images, strict=False)
    ]
    mirrored = [
        np.array_equal(a, b[:, ::-1])
        for a, b in zip(images, originals.images, strict=False)
    ]
    assert 0 < sum(same) < 16
    assert sum(same) + sum(mirrored) == 16


def run(recipe=AUGMENTED, *, seed=1, precision="float32", **options):
    data = make_data()
    return train(
        initial_weights(0),
        data,
        data,
        recipe,
        precision=precision,
        seed=seed,
        **options,
    )


@pytest.mark.parametrize("precision", ["float32", choose_precision("auto")])
def test_the_same_seed_gives_the_same_bytes(precision):
    one, same, other = (
        flatten(run(seed=seed, precision=precision)[0]) for seed in (1, 1, 2)
    )
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


PRUNING = {
    "recipe": replace(AUGMENTED, epochs=4, weight_decay=0.1),
    "zeros_by_step": {0: 400_000, 4: 800_000, 10: 1_000_000},
    "make_mask": partial(make_mask, allocation="lamp"),
}
TIMES = {"seconds", "images_per_second"}


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("before", [True, False])
def test_a_training_killed_in_every_epoch_ends_in_the_same_bytes(
    tmp_path, optimizer, before, caplog
):
    caplog.set_level("INFO", logger="shears")
    recipe = replace(PRUNING["recipe"], optimizer=optimizer, momentum=0.9)
    options = {**PRUNING, "recipe": recipe}
    whole, expected = run(**options)
    caplog.clear()
    checkpoint = KilledAfter(tmp_path / "a.npz", "key")
    for checkpoint.epoch in (1, 2, 3, 4):
        # A kill before the epoch is saved, then one after it.
        for checkpoint.before in (True, False) if before else (False,):
            with pytest.raises(KeyboardInterrupt):
                run(**options, checkpoint=checkpoint)
    resumed, history = run(**options, checkpoint=Checkpoint(tmp_path / "a.npz", "key"))
    assert flatten(resumed).tobytes() == flatten(whole).tobytes()
    assert [{k: v for k, v in row.items() if k not in TIMES} for row in history] == [
        {k: v for k, v in row.items() if k not in TIMES} for row in expected
    ]
    seconds = [row["seconds"] for row in history]
    assert seconds == sorted(seconds)
    assert "resumed after epoch 4/4" in caplog.text


def test_a_state_of_other_settings_is_not_resumed(tmp_path, caplog):
    caplog.set_level("INFO", logger="shears")
    run(checkpoint=Checkpoint(tmp_path / "a.npz", "key"))
    weights, history = run(seed=2, checkpoint=Checkpoint(tmp_path / "a.npz", "other"))
    assert flatten(weights).tobytes() == flatten(run(seed=2)[0]).tobytes()
    assert "resumed" not in caplog.text
    assert "of other settings or data, not used" in caplog.text


def test_a_damaged_state_is_told_and_not_resumed(tmp_path, caplog):
    (tmp_path / "a.npz").write_bytes(b"PK damaged")
    weights, _ = run(checkpoint=Checkpoint(tmp_path / "a.npz", "key"))
    assert flatten(weights).tobytes() == flatten(run()[0]).tobytes()
    assert "a.npz: damaged" in caplog.text


def test_training_learns_what_it_is_shown():
    recipe = replace(PLAIN, epochs=40)
    _, history = run(recipe)
    assert history[0]["validation_accuracy"] < 0.4
    assert history[-1]["validation_accuracy"] > 0.9
    assert [row["epoch"] for row in history] == list(range(1, 41))


def test_pruning_within_training_ends_at_exactly_the_zeros_asked_for(caplog):
    caplog.set_level("INFO", logger="shears")
    # 3 steps an epoch: the masks fall at the first, second and fourth step.
    weights, history = run(
        zeros_by_step={0: 400_000, 1: 800_000, 3: 1_000_000},
        make_mask=partial(make_mask, allocation="magnitude"),
    )
    assert [round(row["sparsity"] * 1_250_858) for row in history] == [
        800_000,
        1_000_000,
    ]
    assert np.count_nonzero(flatten(weights) == 0) == 1_000_000
    assert "epoch 2/2  loss" in caplog.text
    assert "sparsity 0.7995" in caplog.text


def test_whole_numbers_do_where_fractions_are_meant():
    recipe = replace(PLAIN, learning_rate=1, beta_1=0, beta_2=0, weight_decay=0)
    take(make_step(recipe), 0, recipe.learning_rate)
    assert isinstance(recipe.learning_rate, float)


def test_divergence_is_told_plainly():
    with pytest.raises(UserError, match=r"diverged in epoch \d+ .*learning_rate"):
        run(replace(PLAIN, optimizer="sgd", learning_rate=10.0, epochs=30))


def test_fewer_images_than_a_batch_make_one_step():
    _, history = run(replace(PLAIN, batch_size=1000, epochs=1))
    assert history[0]["images_per_second"] > 0


def test_tensorboard_files_are_written_when_wanted(tmp_path):
    run(tensorboard=tmp_path)
    (events,) = tmp_path.iterdir()
    assert b"validation_accuracy" in events.read_bytes()


def test_evaluation_counts_every_image_once():
    weights, data = make_weights(3), make_data(1537)
    step = Step(weights, data, PLAIN, precision="float32", seed=0)
    loss, accuracy = step.evaluate(data)
    outputs = logits(tf.constant(flatten(weights)), data.images.astype("f4") / 255)
    expected = np.mean(np.argmax(outputs, 1) == data.labels)
    assert accuracy == pytest.approx(expected)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        data.labels.astype(np.int32), outputs
    )
    assert loss == pytest.approx(float(np.mean(losses)), rel=1e-5)


def test_unflatten_gives_the_weights_back():
    assert [w.shape for w in unflatten(make_step(PLAIN).vector.numpy())] == [
        w.shape for w in make_weights(0)
    ]

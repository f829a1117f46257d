from dataclasses import replace

import numpy as np
import pytest

from shears.data.dataset import Split
from shears.model.architecture import initial_weights
from shears.model.forward import logits
from shears.model.input_normalisation import fold, measure_pixels, unfold
from shears.model.parameters import flatten
from shears.pruning.masks import make_mask
from shears.pruning.schedule import MaskUpdate
from shears.runtime.backend import tf
from shears.runtime.device import choose_precision
from shears.runtime.errors import UserError
from shears.training.checkpoint import Checkpoint, State
from shears.training.loop import train_network
from shears.training.recipe import Recipe
from shears.training.soft_targets import Lessons, ask
from shears.training.trainer import Step
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
    normalise=False,
    batch_norm=False,
    distillation=0.9,
    temperature=3.0,
    averaging=0.0,
)
AUGMENTED = replace(PLAIN, dropout=(0.1, 0.2, 0.3), flip=True, crop=4)
ROWS = np.arange(16, dtype=np.int32)


def make_data(count: int = 48) -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    return Split(images, rng.integers(0, 10, count).astype(np.uint8))


def make_step(recipe: Recipe, lessons: Lessons | None = None) -> Step:
    return Step(
        flatten(make_weights(0)),
        make_data(),
        recipe,
        precision="float32",
        seed=7,
        forward=logits,
        lessons=lessons,
    )


def cut(vector, gradient, update: MaskUpdate):
    return vector, make_mask(vector, update.zeros)


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
    mask = make_mask(step.vector.numpy(), 1_100_000)
    step.set_mask(step.vector.numpy(), mask)
    for taken in range(1, 4):
        take(step, taken, 1e-3)
    vector = step.vector.numpy()
    assert not vector[mask == 0].any()
    assert np.count_nonzero(vector) == mask.sum()


def test_augmented_images_are_shifted_mirrored_originals():
    step, data = make_step(AUGMENTED), make_data()
    found = set()
    for counter in range(4):
        images, _ = step._augment(tf.constant(ROWS), tf.constant([7, counter]))
        images = images.numpy()
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
    images, _ = make_step(PLAIN)._augment(tf.constant(ROWS), tf.constant([0, 0]))
    np.testing.assert_array_equal(images, make_data().images[ROWS])


def test_flip_alone_mirrors_some():
    step = make_step(replace(PLAIN, flip=True))
    images, _ = step._augment(tf.constant(ROWS), tf.constant([0, 0]))
    originals = make_data()
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
    return train_network(
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
    "mask_updates": {
        step: MaskUpdate(zeros, 0.0)
        for step, zeros in ((0, 400_000), (4, 800_000), (10, 1_000_000))
    },
    "make_mask": cut,
}
TIMES = {"seconds", "images_per_second"}


@pytest.mark.parametrize(
    ("optimizer", "batch_norm", "before"),
    [
        ("adam", False, True),
        ("adam", False, False),
        ("sgd", False, True),
        ("sgd", False, False),
        ("adam", True, False),
    ],
)
def test_a_training_killed_in_every_epoch_ends_in_the_same_bytes(
    tmp_path, optimizer, batch_norm, before, caplog
):
    caplog.set_level("INFO", logger="shears")
    how = {"optimizer": optimizer, "momentum": 0.9, "batch_norm": batch_norm}
    options = {**PRUNING, "recipe": replace(PRUNING["recipe"], **how)}
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
        mask_updates={
            0: MaskUpdate(400_000, 0.0),
            1: MaskUpdate(800_000, 0.0),
            3: MaskUpdate(1_000_000, 0.0),
        },
        make_mask=cut,
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
    data = make_data(1537)
    step = make_step(PLAIN)
    loss, accuracy = step.evaluate(step.result(), data, logits)
    outputs = logits(step.vector, data.images.astype("f4") / 255)
    expected = np.mean(np.argmax(outputs, 1) == data.labels)
    assert accuracy == pytest.approx(expected)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        data.labels.astype(np.int32), outputs
    )
    assert loss == pytest.approx(float(np.mean(losses)), rel=1e-5)


def lessons(views: int = 3) -> Lessons:
    """A teacher that says something else of every view."""
    drawn = ask(
        lambda x: tf.zeros((tf.shape(x)[0], 10)),
        make_data().images,
        count=views,
        crop=2,
        flip=True,
        seed=5,
    )
    answers = np.random.default_rng(1).normal(size=(48, views, 10))
    return drawn._replace(logits=answers.astype(np.float16))


def test_a_student_sees_the_views_its_teacher_was_asked_about():
    taught = lessons()
    step, data = make_step(AUGMENTED, taught), make_data()
    images, which = step._augment(tf.constant(ROWS), tf.constant([7, 1]))
    assert set(which.numpy()) == {0, 1, 2}
    for row, view in zip(ROWS, which.numpy(), strict=True):
        line, column, mirrored = taught.views[row, view]
        padded = np.pad(data.images[row], ((2, 2), (2, 2), (0, 0)), mode="reflect")
        expected = padded[line : line + 32, column : column + 32]
        expected = expected[:, ::-1] if mirrored else expected
        np.testing.assert_array_equal(images[row], expected)


def test_the_loss_of_a_student_by_hand():
    recipe = replace(PLAIN, distillation=0.7, temperature=4.0, label_smoothing=0.1)
    taught = lessons()
    step = make_step(recipe, taught)
    outputs = np.random.default_rng(2).normal(size=(16, 10))
    which = np.arange(16, dtype=np.int32) % 3
    found = step._losses(
        tf.constant(outputs, tf.float32), tf.constant(ROWS), tf.constant(which)
    )

    def log_softmax(x):
        return x - np.log(np.exp(x).sum(1, keepdims=True))

    soft = np.exp(log_softmax(taught.logits[ROWS, which].astype(np.float64) / 4))
    hard = np.eye(10)[make_data().labels[ROWS]] * 0.9 + 0.01
    expected = -0.7 * 16 * (soft * log_softmax(outputs / 4)).sum(1)
    expected -= 0.3 * (hard * log_softmax(outputs)).sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_a_student_of_a_right_teacher_learns_without_labels():
    data = make_data()
    answers = np.zeros((48, 1, 10), np.float16)
    answers[np.arange(48), 0, data.labels] = 9
    taught = Lessons(np.zeros((48, 1, 3), np.uint8), answers, 0)
    recipe = replace(PLAIN, epochs=40, distillation=1.0, temperature=2.0)
    _, history = run(recipe, lessons=taught)
    assert history[-1]["validation_accuracy"] > 0.9


def test_the_average_is_the_weights_own_and_begins_anew_with_a_mask():
    step = make_step(replace(PLAIN, averaging=0.5))
    vectors = []
    for taken in range(3):
        take(step, taken, 1e-3)
        vectors.append(step.vector.numpy())
    first = flatten(make_weights(0))
    expected = first / 8 + vectors[0] / 8 + vectors[1] / 4 + vectors[2] / 2
    np.testing.assert_allclose(step.result(), expected, rtol=1e-5, atol=1e-8)
    mask = make_mask(step.vector.numpy(), 1_100_000)
    step.set_mask(step.vector.numpy(), mask)
    np.testing.assert_array_equal(step.result(), step.vector.numpy())
    take(step, 3, 1e-3)
    assert not step.result()[mask == 0].any()
    assert np.count_nonzero(step.result()) == mask.sum()


def test_an_averaged_training_is_measured_by_its_average():
    step = make_step(replace(PLAIN, averaging=0.9))
    step.average.assign(tf.zeros_like(step.average))
    loss, _ = step.evaluate(step.result(), make_data(), logits)
    assert loss == pytest.approx(np.log(10), rel=1e-5)  # of equal logits


def test_the_gradient_for_choosing_weights_is_the_dense_ones():
    step = make_step(replace(PLAIN, dropout=(0.5, 0.5, 0.5)))
    mask = make_mask(step.vector.numpy(), 1_000_000)
    step.set_mask(step.vector.numpy(), mask)
    found = step.gradient(ROWS)
    expected = gradient(step.vector.numpy())
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-7)
    assert found[mask == 0].any()


def test_training_on_normalised_pixels_ends_in_weights_for_plain_ones():
    recipe = replace(PLAIN, normalise=True, epochs=3)
    weights, history = run(recipe)
    data = make_data()
    outputs = logits(tf.constant(flatten(weights)), data.images.astype("f4") / 255)
    accuracy = np.mean(np.argmax(outputs, 1) == data.labels)
    assert history[-1]["validation_accuracy"] == pytest.approx(accuracy)
    plain, _ = run(replace(recipe, normalise=False))
    assert np.abs(flatten(plain) - flatten(weights)).max() > 1e-3  # it does something


def test_normalised_pruning_has_exactly_the_zeros_asked_for():
    recipe = replace(AUGMENTED, normalise=True, averaging=0.9)
    weights, _ = run(**{**PRUNING, "recipe": replace(recipe, epochs=4)})
    assert np.count_nonzero(flatten(weights) == 0) == 1_000_000


def test_folding_keeps_the_logits_and_the_zeros():
    data = make_data()
    pixels = measure_pixels(data.images)
    images = data.images.astype("f4") / 255
    np.testing.assert_allclose(pixels.mean, images.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(pixels.deviation, images.std((0, 1, 2)), rtol=1e-4)
    vector = flatten(make_weights(0, zeros=0.5))
    normalised = logits(tf.constant(vector), images, pixels=pixels)
    folded = fold(vector, pixels)
    np.testing.assert_allclose(
        logits(tf.constant(folded), images), normalised, rtol=1e-4, atol=1e-4
    )
    # The same by the definition: normalised images, padded with what raw zeros become.
    black = ((0 - pixels.mean) / pixels.deviation).astype("f4")
    padded = np.tile(black, (len(images), 34, 34, 1))
    padded[:, 1:-1, 1:-1] = (images - pixels.mean) / pixels.deviation
    kernel, bias = vector[:864].reshape(3, 3, 3, 32), vector[864:896]
    expected = tf.nn.conv2d(padded, kernel, 1, "VALID") + bias
    kernel, bias = folded[:864].reshape(3, 3, 3, 32), folded[864:896]
    found = tf.nn.conv2d(images, kernel, 1, "SAME") + bias
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(folded[:864] == 0, vector[:864] == 0)
    np.testing.assert_array_equal(folded[896:], vector[896:])
    np.testing.assert_allclose(unfold(folded, pixels), vector, rtol=1e-4, atol=1e-5)

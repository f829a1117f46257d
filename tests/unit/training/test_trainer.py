"""The trainer's steps, against equations and Keras' loss."""

import numpy as np
import pytest

from shears.data.views import ViewSettings, draw_view
from shears.model.forward import logits
from shears.model.parameters import Parameters, kernel_mask
from shears.pruning.masks import make_mask
from shears.runtime.backend import tf
from shears.training.recipe import Recipe
from shears.training.soft_targets import SoftTargets
from shears.training.trainer import Trainer
from tests.conftest import make_parameters
from tests.unit.training.recipes import AUGMENTED, PLAIN, change, make_data

ROWS = np.arange(16, dtype=np.int32)


def make_trainer(
    recipe: Recipe,
    soft_targets: SoftTargets | None = None,
    *,
    dynamic: bool = False,
    kernels: np.ndarray | None = None,
) -> Trainer:
    return Trainer(
        make_parameters(0).vector.copy(),
        make_data(),
        recipe,
        precision="float32",
        seed=7,
        forward=logits,
        soft_targets=soft_targets,
        dynamic=dynamic,
        kernels=kernels,
    )


def take(trainer: Trainer, taken: int, rate: float) -> None:
    trainer.step(tf.constant(ROWS), tf.constant(taken), tf.constant(rate))


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
    recipe = change(PLAIN, weight_decay=0.1, label_smoothing=0.2)
    trainer = make_trainer(recipe)
    vector = make_parameters(0).vector.astype(np.float64)
    m = v = np.zeros_like(vector)
    for t, rate in ((1, 1e-3), (2, 5e-4)):
        g = gradient(vector.astype(np.float32), 0.2).astype(np.float64)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
        scaled = rate * np.sqrt(1 - 0.99**t) / (1 - 0.9**t)
        vector = vector - rate * 0.1 * vector - scaled * m / (np.sqrt(v) + 1e-7)
        take(trainer, t - 1, rate)
    moved = trainer.state.parameters.numpy() - make_parameters(0).vector
    expected = vector - make_parameters(0).vector
    # Adam divides by |g|: where g is nearly 0 rounding decides, so compare the bulk.
    close = np.isclose(moved, expected, rtol=1e-2, atol=1e-6)
    assert close.mean() > 0.999
    assert np.abs(moved).max() < 2e-3


@pytest.mark.parametrize("nesterov", [False, True])
def test_two_momentum_steps_by_hand(nesterov):
    recipe = change(PLAIN, optimizer="sgd", momentum=0.9, nesterov=nesterov)
    trainer, vector = make_trainer(recipe), make_parameters(0).vector
    velocity = np.zeros_like(vector)
    for taken in range(2):
        step = -0.01 * gradient(vector)
        velocity = 0.9 * velocity + step
        vector = vector + (0.9 * velocity + step if nesterov else velocity)
        take(trainer, taken, 0.01)
    np.testing.assert_allclose(
        trainer.state.parameters.numpy(), vector, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_masked_weights_stay_exactly_zero(optimizer):
    recipe = change(AUGMENTED, optimizer=optimizer, momentum=0.9, weight_decay=0.1)
    trainer = make_trainer(recipe)
    take(trainer, 0, 1e-3)  # moments that would move a masked weight
    mask = make_mask(Parameters(trainer.state.parameters.numpy()), 1_100_000).vector
    trainer.set_mask(trainer.state.parameters.numpy(), mask)
    for taken in range(1, 4):
        take(trainer, taken, 1e-3)
    vector = trainer.state.parameters.numpy()
    assert not vector[mask == 0].any()
    assert np.count_nonzero(vector) == mask.sum()


def view_of(trainer: Trainer, epoch: int = 0, seed: int = 0) -> np.ndarray:
    trainer.start_epoch(epoch)
    return trainer.augment(tf.constant(ROWS), tf.constant([seed, 0])).numpy()


def test_latent_weights_take_the_masked_networks_step():
    """w' = (1 - rate decay) w + v, v = -rate g(w m), for pruned weights, too."""
    recipe = change(PLAIN, optimizer="sgd", weight_decay=0.1, ema_decay=0.5)
    trainer = make_trainer(recipe, dynamic=True)
    start = trainer.state.parameters.numpy()
    mask = make_mask(Parameters(start), 1_000_000).vector
    trainer.set_mask(start, mask)
    expected = start
    for taken in range(2):
        slope = gradient(expected * mask)
        expected = (1 - 0.01 * 0.1) * expected - 0.01 * slope
        take(trainer, taken, 0.01)
    latent = trainer.state.parameters.numpy()
    np.testing.assert_allclose(latent, expected, rtol=1e-4, atol=1e-6)
    assert (latent[mask == 0] != start[mask == 0]).mean() > 0.5
    result = trainer.result()
    assert not result[mask == 0].any()
    assert np.count_nonzero(result) == mask.sum()
    np.testing.assert_allclose(
        trainer.gradient(ROWS), gradient(latent * mask), rtol=1e-3, atol=1e-7
    )


def test_decay_of_kernels_spares_biases():
    moved = []
    for decay in ("kernels", "all"):
        recipe = change(PLAIN, optimizer="sgd", weight_decay=0.3, decay=decay)
        trainer = make_trainer(recipe, kernels=kernel_mask(batch_norm=False))
        take(trainer, 0, 0.01)
        moved.append(Parameters(trainer.state.parameters.numpy()))
    start = make_parameters(0)
    step = Parameters(start.vector - 0.01 * gradient(start.vector))
    spared, decayed = moved
    for kernel, all_decay in zip(spared.kernels, decayed.kernels, strict=True):
        np.testing.assert_allclose(kernel, all_decay, rtol=1e-5, atol=1e-8)
    for bias, all_decay, expected, before in zip(
        spared.biases, decayed.biases, step.biases, start.biases, strict=True
    ):
        np.testing.assert_allclose(bias, expected, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(
            bias - all_decay, 0.01 * 0.3 * before, rtol=1e-2, atol=1e-7
        )


def test_decay_of_kernels_needs_to_know_them():
    with pytest.raises(ValueError, match="kernels: found None"):
        make_trainer(change(PLAIN, decay="kernels"))


def test_without_augmentation_images_are_the_originals():
    expected = make_data().images[ROWS] / np.float32(255)
    np.testing.assert_array_equal(view_of(make_trainer(PLAIN)), expected)


def test_images_are_mirrored_in_every_other_epoch():
    trainer = make_trainer(change(PLAIN, flip=True))
    first, second, third = (view_of(trainer, epoch) for epoch in range(3))
    np.testing.assert_array_equal(second, first[:, :, ::-1])
    np.testing.assert_array_equal(third, first)
    originals = make_data().images[ROWS] / np.float32(255)
    same = [np.array_equal(*pair) for pair in zip(first, originals, strict=True)]
    assert 0 < sum(same) < 16


def test_evaluation_counts_every_image_once():
    data = make_data(1537)
    trainer = make_trainer(PLAIN)
    loss, accuracy = trainer.evaluate(trainer.result(), data, logits)
    outputs = logits(trainer.state.parameters, data.images.astype("f4") / 255)
    expected = np.mean(np.argmax(outputs, 1) == data.labels)
    assert accuracy == pytest.approx(expected)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        data.labels.astype(np.int32), outputs
    )
    assert loss == pytest.approx(float(np.mean(losses)), rel=1e-5)


def make_soft_targets(views: int = 3, mixed: float = 0.0) -> SoftTargets:
    """A teacher whose logits differ from view to view."""
    settings = ViewSettings(count=9, crop=2, mixed=mixed, seed=5)
    drawn = [draw_view(48, number, settings) for number in range(views)]
    teacher_logits = np.random.default_rng(1).normal(size=(views, 48, 10))
    arrays = (np.stack(array) for array in zip(*drawn, strict=True))
    return SoftTargets(*arrays, teacher_logits.astype(np.float16), 2)


def test_a_student_sees_the_views_of_its_soft_targets_one_an_epoch():
    soft_targets = make_soft_targets()
    trainer, data = make_trainer(AUGMENTED, soft_targets), make_data()
    for epoch in range(4):
        images = view_of(trainer, epoch, seed=epoch)
        for image, row in zip(images, ROWS, strict=True):
            line, column, mirrored = soft_targets.places[epoch % 3, row]
            padded = np.pad(data.images[row], ((2, 2), (2, 2), (0, 0)), mode="reflect")
            expected = padded[line : line + 32, column : column + 32]
            expected = expected[:, ::-1] if mirrored else expected
            np.testing.assert_array_equal(image, expected / np.float32(255))


@pytest.mark.parametrize("mixed", [0.0, 0.5])
def test_the_loss_of_a_student_by_hand(mixed):
    recipe = change(PLAIN, distillation=0.7, temperature=4.0, label_smoothing=0.1)
    soft_targets = make_soft_targets(mixed=mixed)
    trainer = make_trainer(recipe, soft_targets)
    trainer.start_epoch(4)  # with the second of three views
    outputs = np.random.default_rng(2).normal(size=(16, 10))
    result = trainer.losses(tf.constant(outputs, tf.float32), tf.constant(ROWS))

    def log_softmax(x):
        return x - np.log(np.exp(x).sum(1, keepdims=True))

    soft = np.exp(log_softmax(soft_targets.logits[1, ROWS].astype(np.float64) / 4))
    hard = np.eye(10)[make_data().labels[ROWS]] * 0.9 + 0.01
    # An image that is mixed with another has no label.
    weight = np.where(soft_targets.shares[1, ROWS] < 1, 1, 0.7)
    assert (weight == 1).any() == bool(mixed)
    expected = -weight * 16 * (soft * log_softmax(outputs / 4)).sum(1)
    expected -= (1 - weight) * (hard * log_softmax(outputs)).sum(1)
    np.testing.assert_allclose(result, expected, rtol=1e-3)


@pytest.mark.parametrize("dynamic", [False, True])
def test_the_moving_average_starts_again_with_a_mask(dynamic):
    trainer = make_trainer(change(PLAIN, ema_decay=0.5), dynamic=dynamic)
    vectors = []
    for taken in range(3):
        take(trainer, taken, 1e-3)
        vectors.append(trainer.state.parameters.numpy())
    first = make_parameters(0).vector
    expected = first / 8 + vectors[0] / 8 + vectors[1] / 4 + vectors[2] / 2
    np.testing.assert_allclose(trainer.result(), expected, rtol=1e-5, atol=1e-8)
    mask = make_mask(Parameters(trainer.state.parameters.numpy()), 1_100_000).vector
    trainer.set_mask(trainer.state.parameters.numpy(), mask)
    masked = trainer.state.parameters.numpy() * mask
    np.testing.assert_array_equal(trainer.result(), masked)
    take(trainer, 3, 1e-3)
    expected = (masked + trainer.state.parameters.numpy() * mask) / 2
    np.testing.assert_allclose(trainer.result(), expected, rtol=1e-5, atol=1e-8)
    assert not trainer.result()[mask == 0].any()
    assert np.count_nonzero(trainer.result()) == mask.sum()


def test_looking_ahead_moves_average_and_weights_to_a_place_between_them():
    trainer = make_trainer(change(PLAIN, lookahead=True))
    first = make_parameters(0).vector
    take(trainer, 0, 1e-3)
    fast = trainer.state.parameters.numpy()
    np.testing.assert_array_equal(trainer.result(), first)
    trainer.look_ahead(tf.constant(0.75))
    expected = 0.75 * first + 0.25 * fast
    np.testing.assert_allclose(trainer.result(), expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(trainer.result(), trainer.state.parameters.numpy())


def test_the_result_is_the_moving_average():
    trainer = make_trainer(change(PLAIN, ema_decay=0.9))
    trainer.state.ema.assign(tf.zeros_like(trainer.state.ema))
    loss, _ = trainer.evaluate(trainer.result(), make_data(), logits)
    assert loss == pytest.approx(np.log(10), rel=1e-5)  # of equal logits


def test_the_second_moment_for_masks_is_adams_bias_corrected():
    trainer = make_trainer(PLAIN)
    mask = make_mask(Parameters(trainer.state.parameters.numpy()), 1_000_000).vector
    trainer.set_mask(trainer.state.parameters.numpy(), mask)
    slopes = []
    for taken in range(2):
        slopes.append(gradient(trainer.state.parameters.numpy()))
        take(trainer, taken, 1e-3)
    v = 0.99 * 0.01 * slopes[0] ** 2 + 0.01 * slopes[1] ** 2
    expected = v / (1 - 0.99**2)
    result = trainer.second_moment(2)
    np.testing.assert_allclose(result, expected, rtol=1e-2, atol=1e-9)
    assert result[mask == 0].any()


def test_the_gradient_for_masks_covers_pruned_weights():
    trainer = make_trainer(change(PLAIN, dropout=(0.5, 0.5, 0.5)))
    mask = make_mask(Parameters(trainer.state.parameters.numpy()), 1_000_000).vector
    trainer.set_mask(trainer.state.parameters.numpy(), mask)
    result = trainer.gradient(ROWS)
    expected = gradient(trainer.state.parameters.numpy())
    np.testing.assert_allclose(result, expected, rtol=1e-3, atol=1e-7)
    assert result[mask == 0].any()

"""The trainer's steps, against equations and Keras' loss."""

import numpy as np
import pytest

from shears.data.augmentation import draw_views
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


def test_two_momentum_steps_by_hand():
    recipe = change(PLAIN, optimizer="sgd", momentum=0.9)
    trainer, vector = make_trainer(recipe), make_parameters(0).vector
    velocity = np.zeros_like(vector)
    for taken in range(2):
        velocity = 0.9 * velocity - 0.01 * gradient(vector)
        vector = vector + velocity
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
        trainer = make_trainer(recipe, kernels=kernel_mask(Parameters))
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
    images, _ = make_trainer(PLAIN).augment(tf.constant(ROWS), tf.constant([0, 0]))
    np.testing.assert_array_equal(images, make_data().images[ROWS])


def test_flip_alone_mirrors_some():
    trainer = make_trainer(change(PLAIN, flip=True))
    images, _ = trainer.augment(tf.constant(ROWS), tf.constant([0, 0]))
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


def make_soft_targets(views: int = 3) -> SoftTargets:
    """A teacher whose logits differ from view to view."""
    drawn = draw_views(48, views, crop=2, flip=True, seed=5)
    teacher_logits = np.random.default_rng(1).normal(size=(48, views, 10))
    return SoftTargets(drawn, teacher_logits.astype(np.float16), 2)


def test_a_student_sees_the_views_of_its_soft_targets():
    soft_targets = make_soft_targets()
    trainer, data = make_trainer(AUGMENTED, soft_targets), make_data()
    images, which = trainer.augment(tf.constant(ROWS), tf.constant([7, 1]))
    assert set(which.numpy()) == {0, 1, 2}
    for row, view in zip(ROWS, which.numpy(), strict=True):
        line, column, mirrored = soft_targets.views[row, view]
        padded = np.pad(data.images[row], ((2, 2), (2, 2), (0, 0)), mode="reflect")
        expected = padded[line : line + 32, column : column + 32]
        expected = expected[:, ::-1] if mirrored else expected
        np.testing.assert_array_equal(images[row], expected)


def test_the_loss_of_a_student_by_hand():
    recipe = change(PLAIN, distillation=0.7, temperature=4.0, label_smoothing=0.1)
    soft_targets = make_soft_targets()
    trainer = make_trainer(recipe, soft_targets)
    outputs = np.random.default_rng(2).normal(size=(16, 10))
    which = np.arange(16, dtype=np.int32) % 3
    result = trainer.losses(
        tf.constant(outputs, tf.float32), tf.constant(ROWS), tf.constant(which)
    )

    def log_softmax(x):
        return x - np.log(np.exp(x).sum(1, keepdims=True))

    soft = np.exp(log_softmax(soft_targets.logits[ROWS, which].astype(np.float64) / 4))
    hard = np.eye(10)[make_data().labels[ROWS]] * 0.9 + 0.01
    expected = -0.7 * 16 * (soft * log_softmax(outputs / 4)).sum(1)
    expected -= 0.3 * (hard * log_softmax(outputs)).sum(1)
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

from functools import partial

import numpy as np
import pytest

from shears.data.dataset import Split
from shears.model.batch_norm import Statistics
from shears.model.teacher import (
    MEAN,
    STD,
    Teacher,
    initial_vector,
    kernel_mask,
    mean_logits,
    measure_statistics,
    shapes,
    whitening_filters,
)
from shears.model.teacher import logits as teacher_logits
from shears.runtime.backend import tf
from shears.training.loop import train
from shears.training.run_context import RunContext
from shears.training.trainer import TrainedForm
from tests.conftest import refused
from tests.unit.training.recipes import AUGMENTED, change, make_data

DATA = make_data()
WIDTH = 0.5


FILTERS = whitening_filters(DATA.images)


def make_teacher(seed: int) -> Teacher:
    vector = initial_vector(seed, WIDTH)
    vector += np.random.default_rng(seed).normal(0, 0.05, vector.shape).astype("f4")
    return Teacher(vector, FILTERS, WIDTH, measure(vector))


def measure(vector: np.ndarray, crop: int = 2, flip: bool = True) -> Statistics:
    return measure_statistics(
        vector, DATA, filters=FILTERS, width=WIDTH, crop=crop, flip=flip, seed=0
    )


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return make_teacher(0)


def test_the_width_multiplies_the_channels():
    assert shapes(2)[-1] == (512, 10)
    assert shapes(0.5)[:3] == [(24,), (3, 3, 24, 32), (32,)]
    assert len(initial_vector(0, 1)) == sum(int(np.prod(s)) for s in shapes(1))


def patches(images: np.ndarray) -> np.ndarray:
    """All 2 x 2 patches of normalised pixels: (patches, 12)."""
    pixels = (images / 255 - MEAN) / STD
    corners = [pixels[:, y : 31 + y, x : 31 + x] for y in (0, 1) for x in (0, 1)]
    return np.concatenate(corners, -1).reshape(-1, 12)


def test_whitened_patches_are_uncorrelated_with_variance_1():
    outputs = patches(DATA.images) @ FILTERS.reshape(12, 24)
    np.testing.assert_allclose(outputs[:, :12], -outputs[:, 12:], atol=1e-4)
    moments = outputs[:, :12].T @ outputs[:, :12] / len(outputs)
    np.testing.assert_allclose(moments, np.eye(12), atol=5e-3)  # PATCH_VARIANCE


def test_a_new_convolution_passes_on_its_inputs():
    """Of 24 inputs to 32 outputs, the first 24 are the inputs themselves."""
    kernel = initial_vector(0, WIDTH)[24 : 24 + 9 * 24 * 32].reshape(3, 3, 24, 32)
    inputs = np.random.default_rng(0).normal(size=(1, 6, 6, 24)).astype("f4")
    outputs = tf.nn.conv2d(inputs, kernel, 1, "SAME").numpy()
    np.testing.assert_array_equal(outputs[..., :24], inputs)
    assert kernel[..., 24:].std() == pytest.approx((3 * 9 * 24) ** -0.5, rel=0.1)


def test_a_teachers_logits_depend_on_the_image_alone(teacher):
    images = DATA.images.astype("f4") / 255
    together = teacher.forward(tf.constant(images)).numpy()
    alone = teacher.forward(tf.constant(images[5:6])).numpy()
    np.testing.assert_allclose(together[5:6], alone, rtol=1e-4, atol=1e-4)
    # In training the batch's statistics count.
    batch = teacher_logits(
        teacher.vector, tf.constant(images[5:9]), filters=FILTERS, width=WIDTH
    ).numpy()
    assert np.abs(batch - together[5:9]).max() > 1e-3


def test_the_statistics_are_those_of_training_batches():
    vector = initial_vector(0, WIDTH)
    vector[:24] = np.linspace(-1, 1, 24)
    ((mean, variance), *others) = measure(vector, crop=0, flip=False)
    whitened = patches(DATA.images) @ FILTERS.reshape(12, 24) + vector[:24]
    maps = tf.nn.gelu(whitened.reshape(-1, 31, 31, 24).astype("f4"), approximate=True)
    # The first convolution passes its inputs on; then the largest of 2 x 2 is taken.
    outputs = tf.nn.max_pool2d(maps, 2, 2, "VALID").numpy()
    np.testing.assert_allclose(mean[:24], outputs.mean((0, 1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(variance[:24], outputs.var((0, 1, 2)), rtol=1e-3)
    assert len(others) == 5


def test_several_teachers_give_the_mean_of_their_logits(teacher):
    images = tf.constant(DATA.images[:3].astype("f4") / 255)
    other = make_teacher(1)
    expected = (teacher.forward(images) + other.forward(images)) / 2
    np.testing.assert_allclose(
        mean_logits([teacher, other], images), expected, rtol=1e-6
    )
    np.testing.assert_array_equal(
        mean_logits([teacher], images), teacher.forward(images)
    )


def test_a_teacher_is_read_as_written_and_refused_if_damaged(teacher, tmp_path):
    path = tmp_path / "teacher.npz"
    teacher.save(path)
    again = Teacher.load(path)
    images = tf.constant(DATA.images[:3].astype("f4") / 255)
    np.testing.assert_array_equal(again.forward(images), teacher.forward(images))
    path.write_bytes(path.read_bytes()[:1000])
    with refused(path, "damaged"):
        Teacher.load(path)
    with pytest.raises(IsADirectoryError):
        Teacher.load(tmp_path)


def test_a_teacher_learns_what_it_is_shown():
    recipe = change(
        AUGMENTED, optimizer="sgd", momentum=0.9, learning_rate=0.05, epochs=25
    )
    data = Split(DATA.images, DATA.labels)
    forward = partial(teacher_logits, filters=FILTERS, width=WIDTH)
    form = TrainedForm(forward, lambda vector: vector, forward)
    context = RunContext(precision="float32", seed=0)
    vector, history = train(initial_vector(0, WIDTH), form, data, data, recipe, context)
    assert history[-1]["validation_accuracy"] > 0.9
    teacher = Teacher(vector, FILTERS, WIDTH, measure(vector, crop=4))
    outputs = teacher.forward(tf.constant(data.images.astype("f4") / 255)).numpy()
    assert np.mean(outputs.argmax(1) == data.labels) > 0.8


def test_the_mask_of_the_teachers_kernels_leaves_out_biases():
    vector, mask = initial_vector(0, WIDTH), kernel_mask(WIDTH)
    assert mask.shape == vector.shape
    biases = [shape for shape in shapes(WIDTH) if len(shape) == 1]
    assert (~mask).sum() == sum(size for (size,) in biases)
    assert not vector[~mask].any()  # biases at first

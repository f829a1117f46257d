from functools import partial

import numpy as np
import pytest

from shears.data.dataset import Split
from shears.model.teacher import (
    Teacher,
    initial_vector,
    kernel_mask,
    measure_statistics,
    shapes,
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


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    vector = initial_vector(0, WIDTH)
    vector += np.random.default_rng(0).normal(0, 0.05, vector.shape).astype("f4")
    return Teacher(
        vector,
        WIDTH,
        measure_statistics(vector, DATA, width=WIDTH, crop=2, flip=True, seed=0),
    )


def test_the_width_multiplies_the_channels():
    assert shapes(2)[-2] == (384, 10)
    assert shapes(0.5)[:3] == [(3, 3, 3, 12), (12,), (12,)]
    assert len(initial_vector(0, 1)) == sum(int(np.prod(s)) for s in shapes(1))


def test_a_teachers_logits_depend_on_the_image_alone(teacher):
    images = DATA.images.astype("f4") / 255
    together = teacher.forward(tf.constant(images)).numpy()
    alone = teacher.forward(tf.constant(images[5:6])).numpy()
    np.testing.assert_allclose(together[5:6], alone, rtol=1e-4, atol=1e-4)
    # In training the batch's statistics count.
    batch = teacher_logits(
        teacher.vector, tf.constant(images[5:9]), width=WIDTH
    ).numpy()
    assert np.abs(batch - together[5:9]).max() > 1e-3


def test_the_statistics_are_those_of_training_batches():
    vector = initial_vector(0, WIDTH)
    images = DATA.images.astype("f4") / 255
    ((mean, variance), *others) = measure_statistics(
        vector, DATA, width=WIDTH, crop=0, flip=False, seed=0
    )
    kernel = vector[:324].reshape(3, 3, 3, 12)
    outputs = tf.nn.conv2d((images - 0.47) / 0.25, kernel, 1, "SAME").numpy()
    np.testing.assert_allclose(mean, outputs.mean((0, 1, 2)), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(variance, outputs.var((0, 1, 2)), rtol=1e-3)
    assert len(others) == 6


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
    forward = partial(teacher_logits, width=WIDTH)
    form = TrainedForm(forward, lambda vector: vector, forward)
    context = RunContext(precision="float32", seed=0)
    vector, history = train(initial_vector(0, WIDTH), form, data, data, recipe, context)
    assert history[-1]["validation_accuracy"] > 0.9
    teacher = Teacher(
        vector,
        WIDTH,
        measure_statistics(vector, data, width=WIDTH, crop=4, flip=True, seed=0),
    )
    outputs = teacher.forward(tf.constant(data.images.astype("f4") / 255)).numpy()
    assert np.mean(outputs.argmax(1) == data.labels) > 0.8


def test_the_mask_of_the_teachers_kernels_leaves_out_gammas_and_biases():
    vector, mask = initial_vector(0, WIDTH), kernel_mask(WIDTH)
    assert mask.shape == vector.shape
    assert set(np.unique(vector[~mask])) == {0, 1}  # gammas and biases at first
    assert vector[mask].all()

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.data.augmentation import ImageTable, draw_views
from shears.data.dataset import Split
from shears.model.forward import logits
from shears.model.parameters import flatten
from shears.model.teacher import Teacher, initial_vector, measure_statistics, shapes
from shears.model.teacher import logits as teacher_logits
from shears.runtime.backend import tf
from shears.training.loop import train
from shears.training.soft_targets import Lessons, ask, read_lessons, write_lessons
from tests.conftest import make_weights, refused
from tests.unit.training.test_loop import AUGMENTED, make_data, replace

DATA = make_data()
WIDTH = 0.5
LESSONS = Lessons(
    draw_views(7, 2, crop=3, flip=True, seed=0),
    np.random.default_rng(0).normal(size=(7, 2, 10)).astype(np.float16),
    3,
)


@settings(max_examples=20, deadline=None)
@given(crop=st.integers(0, 15), flip=st.booleans(), seed=st.integers(0, 99))
def test_views_are_within_their_bounds(crop, flip, seed):
    views = draw_views(200, 3, crop=crop, flip=flip, seed=seed)
    assert views.shape == (200, 3, 3)
    assert views.dtype == np.uint8
    assert set(np.unique(views[..., :2])) <= set(range(2 * crop + 1))
    assert set(np.unique(views[..., 2])) == ({0, 1} if flip else {0})


def test_lessons_are_read_as_written_and_as_the_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_lessons(tmp_path / name, LESSONS)
    found = read_lessons(tmp_path / "a.h5", 7)
    for one, other in zip(found, LESSONS, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_without_a_teacher_there_are_none():
    assert read_lessons(None, 7) is None


def test_lessons_of_other_images_or_damaged_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    write_lessons(path, LESSONS)
    with refused(path, "views of shape (7, 2, 3)"):
        read_lessons(path, 8)
    path.write_bytes(path.read_bytes()[:-10])
    with refused(path, "damaged"):
        read_lessons(path, 7)


def test_the_answers_are_the_networks_to_each_view():
    vector = flatten(make_weights(0))
    found = ask(
        lambda x: logits(vector, x), DATA.images, count=2, crop=2, flip=True, seed=1
    )
    table = ImageTable(DATA.images, 2)
    rows = tf.range(48)
    for view in range(2):
        views = found.views[:, view].astype(np.int32)
        images = table.cut(
            rows, tf.constant(views[:, :2]), tf.constant(views[:, 2] > 0)
        )
        expected = logits(vector, tf.cast(images, tf.float32) / 255).numpy()
        np.testing.assert_allclose(
            found.logits[:, view], expected, rtol=2e-3, atol=2e-3
        )


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


def test_a_teachers_answer_depends_on_the_image_alone(teacher):
    images = DATA.images.astype("f4") / 255
    together = teacher.forward(tf.constant(images)).numpy()
    alone = teacher.forward(tf.constant(images[5:6])).numpy()
    np.testing.assert_allclose(together[5:6], alone, rtol=1e-4, atol=1e-4)
    # In training it is the batch's statistics that count.
    batch = teacher_logits(
        teacher.vector, tf.constant(images[5:9]), width=WIDTH
    ).numpy()
    assert np.abs(batch - together[5:9]).max() > 1e-3


def test_the_statistics_are_those_of_the_batches_met_in_training():
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


def test_a_teacher_learns_what_it_is_shown():
    recipe = replace(
        AUGMENTED, optimizer="sgd", momentum=0.9, learning_rate=0.05, epochs=25
    )
    data = Split(DATA.images, DATA.labels)
    vector, history = train(
        initial_vector(0, WIDTH),
        data,
        data,
        recipe,
        forward=partial(teacher_logits, width=WIDTH),
        precision="float32",
        seed=0,
    )
    assert history[-1]["validation_accuracy"] > 0.9
    teacher = Teacher(
        vector,
        WIDTH,
        measure_statistics(vector, data, width=WIDTH, crop=4, flip=True, seed=0),
    )
    answers = teacher.forward(tf.constant(data.images.astype("f4") / 255)).numpy()
    assert np.mean(answers.argmax(1) == data.labels) > 0.8

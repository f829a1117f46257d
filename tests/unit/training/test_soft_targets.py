import numpy as np

from shears.data.augmentation import ImageTable, draw_views
from shears.data.views import ViewSettings
from shears.model.forward import logits
from shears.runtime.backend import tf
from shears.training.soft_targets import (
    SoftTargets,
    compute_soft_targets,
    read_soft_targets,
    write_soft_targets,
)
from tests.conftest import make_parameters, refused
from tests.unit.training.recipes import make_data

DATA = make_data()
TARGETS = SoftTargets(
    draw_views(7, 2, crop=3, flip=True, seed=0),
    np.random.default_rng(0).normal(size=(7, 2, 10)).astype(np.float16),
    3,
)


def test_soft_targets_are_read_as_written_and_give_the_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_soft_targets(tmp_path / name, TARGETS)
    read = read_soft_targets(tmp_path / "a.h5", 7)
    for one, other in zip(read, TARGETS, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_the_first_views_alone_can_be_read(tmp_path):
    write_soft_targets(tmp_path / "a.h5", TARGETS)
    read = read_soft_targets(tmp_path / "a.h5", 7, 1)
    np.testing.assert_array_equal(read.views, TARGETS.views[:, :1])
    np.testing.assert_array_equal(read.logits, TARGETS.logits[:, :1])
    assert read.crop == TARGETS.crop


def test_without_a_teacher_there_are_none():
    assert read_soft_targets(None, 7) is None


def test_soft_targets_of_other_images_or_damaged_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    write_soft_targets(path, TARGETS)
    with refused(path, "views of shape (7, 2, 3)"):
        read_soft_targets(path, 8)
    path.write_bytes(path.read_bytes()[:-10])
    with refused(path, "damaged"):
        read_soft_targets(path, 7)


def test_the_logits_are_the_networks_for_each_view():
    vector = make_parameters(0).vector
    settings = ViewSettings(count=2, crop=2, flip=True, seed=1)
    targets = compute_soft_targets(lambda x: logits(vector, x), DATA.images, settings)
    table = ImageTable(DATA.images, 2)
    rows = tf.range(48)
    for view in range(2):
        views = targets.views[:, view].astype(np.int32)
        images = table.cut(
            rows, tf.constant(views[:, :2]), tf.constant(views[:, 2] > 0)
        )
        expected = logits(vector, tf.cast(images, tf.float32) / 255).numpy()
        np.testing.assert_allclose(
            targets.logits[:, view], expected, rtol=2e-3, atol=2e-3
        )

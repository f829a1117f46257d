import logging

import numpy as np
import pytest

from shears.data.augmentation import ImageTable
from shears.data.views import ViewSettings, draw_view
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

DATA, VECTOR = make_data(), make_parameters(0).vector


def make_targets(views: int, seed: int = 0) -> SoftTargets:
    settings = ViewSettings(count=9, crop=3, mixed=0.5, seed=seed)
    drawn = [draw_view(7, number, settings) for number in range(views)]
    logits = np.random.default_rng(seed).normal(size=(views, 7, 10))
    arrays = (np.stack(array) for array in zip(*drawn, strict=True))
    return SoftTargets(*arrays, logits.astype(np.float16), 3)


TARGETS = make_targets(2)


def test_soft_targets_are_read_as_written_and_give_the_same_bytes(tmp_path):
    for name in ("a.h5", "b.h5"):
        write_soft_targets(tmp_path / name, TARGETS)
    read = read_soft_targets([tmp_path / "a.h5"], 7)
    for one, other in zip(read, TARGETS, strict=True):
        np.testing.assert_array_equal(one, other)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert read.mixed


def test_several_files_are_read_one_after_the_other(tmp_path):
    parts = [make_targets(2), make_targets(3, seed=1)]
    files = [tmp_path / "z.h5", tmp_path / "a.h5"]
    for file, part in zip(files, parts, strict=True):
        write_soft_targets(file, part)
    read = read_soft_targets(files, 7)
    assert read.logits.shape == (5, 7, 10)
    np.testing.assert_array_equal(read.logits[:2], parts[0].logits)
    np.testing.assert_array_equal(read.shares[2:], parts[1].shares)


def test_the_first_views_alone_can_be_used(tmp_path):
    files = [tmp_path / name for name in ("a.h5", "b.h5", "c.h5")]
    for file in files[:2]:  # the third is not needed
        write_soft_targets(file, TARGETS)
    read = read_soft_targets(files, 7, 3)
    assert {len(array) for array in read[:-1]} == {3}
    np.testing.assert_array_equal(read.logits[:2], TARGETS.logits)
    np.testing.assert_array_equal(read.places[2], TARGETS.places[0])
    assert read.crop == TARGETS.crop


def test_without_a_teacher_there_are_none():
    assert read_soft_targets([], 7) is None


def test_soft_targets_of_other_images_or_damaged_are_refused(tmp_path):
    path = tmp_path / "a.h5"
    write_soft_targets(path, TARGETS)
    with refused(path, "places of shape (2, 7, 3)"):
        read_soft_targets([path], 8)
    path.write_bytes(path.read_bytes()[:-10])
    with refused(path, "damaged"):
        read_soft_targets([path], 7)


def compute(settings: ViewSettings, numbers: range) -> SoftTargets:
    return compute_soft_targets(
        lambda x: logits(VECTOR, x), DATA.images, settings, numbers
    )


def logits_of(targets: SoftTargets, view: int, mirrored: bool) -> np.ndarray:
    """The network's logits for a view, or for its mirror image."""
    places = targets.places[view].astype(np.int32)
    images = ImageTable(DATA.images, targets.crop).mix(
        tf.range(len(places)),
        tf.constant(places),
        tf.constant(targets.partners[view]),
        tf.constant(targets.shares[view]),
        tf.float32,
    )
    return logits(VECTOR, images[:, :, ::-1] if mirrored else images).numpy()


@pytest.mark.parametrize("mixed", [0.0, 0.5])
def test_the_logits_are_the_networks_for_each_view(mixed):
    settings = ViewSettings(count=4, crop=2, flip=False, mixed=mixed, seed=1)
    targets = compute(settings, range(2))
    assert targets.mixed == bool(mixed)
    for view in range(2):
        expected = logits_of(targets, view, mirrored=False)
        np.testing.assert_allclose(targets.logits[view], expected, rtol=2e-3, atol=2e-3)


def test_a_view_and_its_mirror_image_share_the_mean_of_their_logits():
    targets = compute(ViewSettings(count=3, crop=2, seed=1), range(3))
    for view in range(3):
        outputs = [logits_of(targets, view, mirrored) for mirrored in (False, True)]
        expected = np.mean(outputs, 0)
        np.testing.assert_allclose(targets.logits[view], expected, rtol=2e-3, atol=2e-3)
    np.testing.assert_array_equal(targets.logits[0], targets.logits[1])
    assert (targets.logits[1] != targets.logits[2]).any()


def test_a_file_of_views_is_part_of_all_views():
    settings = ViewSettings(count=6, crop=2, mixed=0.5, seed=1)
    whole, part = compute(settings, range(6)), compute(settings, range(2, 5))
    for one, other in zip(whole[:4], part[:4], strict=True):
        np.testing.assert_array_equal(one[2:5], other)


def test_the_views_of_a_file_are_counted_in_the_log(caplog):
    # The time that is left is reckoned from this count and the job's own time.
    caplog.set_level(logging.INFO)
    compute(ViewSettings(count=6, crop=2, seed=1), range(3, 6))
    counts = [line.split()[-1] for line in caplog.messages if "view" in line]
    assert counts == ["1/3", "2/3", "3/3"]

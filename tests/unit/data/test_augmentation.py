import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.data.augmentation import ImageTable, draw_views
from shears.runtime.backend import tf

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)
ROWS = np.array([3, 0, 17, 23, 5, 5, 11, 8])


def draw(crop: int, flip: bool, *seed: int) -> np.ndarray:
    rows = tf.constant(ROWS, tf.int32)
    views = ImageTable(IMAGES, crop).random_views(rows, flip, tf.constant(seed))
    assert views.dtype == tf.uint8
    return views.numpy()


def positions(view: np.ndarray, original: np.ndarray) -> list[tuple[int, int, bool]]:
    """Lists the shifts by up to four pixels, and mirrorings, that give the view."""
    padded = np.pad(original, ((4, 4), (4, 4), (0, 0)), mode="reflect")
    return [
        (y, x, mirrored)
        for y in range(9)
        for x in range(9)
        for mirrored in (False, True)
        if np.array_equal(
            view[:, ::-1] if mirrored else view, padded[y : y + 32, x : x + 32]
        )
    ]


def test_random_views_are_shifted_mirrored_originals():
    seen = set()
    for counter in range(8):
        for view, original in zip(draw(4, True, 7, counter), IMAGES[ROWS], strict=True):
            (position,) = positions(view, original)
            seen.add(position)
    assert {y for y, _, _ in seen} == {x for _, x, _ in seen} == set(range(9))
    assert {mirrored for _, _, mirrored in seen} == {False, True}


def test_without_shift_and_mirroring_views_are_the_originals():
    np.testing.assert_array_equal(draw(0, False, 0, 0), IMAGES[ROWS])


def test_flip_alone_mirrors_some():
    mirrored = [
        np.array_equal(view, original[:, ::-1])
        for view, original in zip(draw(0, True, 0, 0), IMAGES[ROWS], strict=True)
    ]
    same = [
        np.array_equal(view, original)
        for view, original in zip(draw(0, True, 0, 0), IMAGES[ROWS], strict=True)
    ]
    assert any(mirrored) and any(same)
    assert np.logical_xor(mirrored, same).all()


def test_the_same_seed_draws_the_same_views():
    np.testing.assert_array_equal(draw(4, True, 7, 1), draw(4, True, 7, 1))
    assert (draw(4, True, 7, 1) != draw(4, True, 7, 2)).any()


@pytest.mark.parametrize(
    ("row", "column", "mirrored"), [(0, 0, False), (2, 2, True), (4, 1, True)]
)
def test_a_view_is_cut_where_it_is_asked_for(row, column, mirrored):
    view = ImageTable(IMAGES, 2).cut(
        tf.constant([9]), tf.constant([[row, column]]), tf.constant([mirrored])
    )
    padded = np.pad(IMAGES[9], ((2, 2), (2, 2), (0, 0)), mode="reflect")
    expected = padded[row : row + 32, column : column + 32]
    np.testing.assert_array_equal(view[0], expected[:, :: -1 if mirrored else 1])


@settings(max_examples=20, deadline=None)
@given(crop=st.integers(0, 15), flip=st.booleans(), seed=st.integers(0, 99))
def test_views_are_within_their_bounds(crop, flip, seed):
    views = draw_views(200, 3, crop=crop, flip=flip, seed=seed)
    assert views.shape == (200, 3, 3)
    assert views.dtype == np.uint8
    assert set(np.unique(views[..., :2])) <= set(range(2 * crop + 1))
    assert set(np.unique(views[..., 2])) == ({0, 1} if flip else {0})

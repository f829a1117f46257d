import numpy as np
import pytest

from shears.data.augmentation import ImageTable
from shears.runtime.backend import tf

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)
ROWS = np.array([3, 0, 17, 23, 5, 5, 11, 8])


def draw(crop: int, flip: bool, *seed: int) -> np.ndarray:
    rows = tf.constant(ROWS, tf.int32)
    mirrored = tf.constant(np.arange(len(ROWS)) % 2 * flip > 0)
    views = ImageTable(IMAGES, crop).shift(rows, mirrored, tf.constant(seed))
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


def test_shifted_views_are_shifted_mirrored_originals():
    seen = set()
    for counter in range(8):
        for view, original in zip(draw(4, True, 7, counter), IMAGES[ROWS], strict=True):
            (position,) = positions(view, original)
            seen.add(position)
    assert {y for y, _, _ in seen} == {x for _, x, _ in seen} == set(range(9))
    assert {mirrored for _, _, mirrored in seen} == {False, True}


def test_without_shift_and_mirroring_views_are_the_originals():
    np.testing.assert_array_equal(draw(0, False, 0, 0), IMAGES[ROWS])


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


@pytest.mark.parametrize("share", [1.0, 0.75])
def test_a_mix_is_the_weighted_mean_of_two_views(share):
    places = tf.constant([[row % 5, 2, row % 2] for row in range(24)])
    partners = tf.constant([*range(1, 24), 0])
    table = ImageTable(IMAGES, 2)
    rows = tf.constant([4, 9])
    shares = tf.fill([24], tf.constant(share, tf.float16))
    mixed = table.mix(rows, places, partners, shares, tf.float32)

    def view(row: int) -> np.ndarray:
        place = places[row : row + 1]
        return table.cut(tf.constant([row]), place[:, :2], place[:, 2] > 0)[0] / 255

    for image, row in zip(mixed, (4, 9), strict=True):
        expected = share * view(row) + (1 - share) * view(row + 1)
        np.testing.assert_allclose(image, expected, atol=1e-6)

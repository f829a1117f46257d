import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shears.data.views import ViewSettings, draw_view, split_views


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("count", 0), ("count", 1001), ("count", 2.5), ("crop", 16), ("crop", -1)),
        *(("mixed", 1.0), ("mixed", -0.1)),
        *(("flip", 1), ("seed", -1), ("seed", 1_000_001), ("seed", "0")),
    ],
)
def test_a_value_that_cannot_be_drawn_is_refused_by_its_key(key, value):
    with pytest.raises(ValidationError) as caught:
        ViewSettings(**{key: value})
    assert [problem["loc"] for problem in caught.value.errors()] == [(key,)]


SETTINGS = st.builds(
    ViewSettings,
    count=st.integers(1, 40),
    crop=st.integers(0, 15),
    flip=st.booleans(),
    mixed=st.floats(0, 0.9),
    seed=st.integers(0, 1_000_000),
)


@given(SETTINGS, st.integers(0, 39))
def test_views_are_within_their_bounds_and_the_same_after_json(settings, number):
    again = ViewSettings(**json.loads(json.dumps(settings.model_dump(mode="json"))))
    view = draw_view(50, number, settings)
    for one, other in zip(view, draw_view(50, number, again), strict=True):
        assert one.tobytes() == other.tobytes()
    assert view.places.shape == (50, 3)
    assert view.places[:, :2].max() <= 2 * settings.crop
    assert view.places[:, 2].max() <= settings.flip
    assert sorted(view.partners) == list(range(50))
    assert 0.5 <= view.shares.min() and view.shares.max() <= 1


@given(SETTINGS, st.integers(0, 19))
def test_two_views_are_mirror_images_if_views_are_mirrored(settings, pair):
    one, other = (draw_view(50, 2 * pair + i, settings) for i in range(2))
    if settings.flip:
        np.testing.assert_array_equal(one.places[:, :2], other.places[:, :2])
        np.testing.assert_array_equal(one.places[:, 2] + other.places[:, 2], 1)
        np.testing.assert_array_equal(one.partners, other.partners)
        np.testing.assert_array_equal(one.shares, other.shares)
        assert 0 < one.places[:, 2].sum() < 50
    elif settings.crop:
        assert (one.places != other.places).any()


@pytest.mark.parametrize(("flip", "plain"), [(False, 3), (True, 4)])
def test_as_many_images_are_mixed_as_asked_but_none_of_the_last_views(flip, plain):
    settings = ViewSettings(count=20, flip=flip, mixed=0.3)
    mixed = [np.mean(draw_view(10_000, i, settings).shares < 1) for i in range(20)]
    assert mixed[:-plain] == pytest.approx([0.3] * (20 - plain), abs=0.03)
    assert mixed[-plain:] == [0] * plain


@given(st.integers(1, 1000), st.integers(0, 100))
def test_more_views_leave_the_files_before_them_as_they_are(count, more):
    files, longer = split_views(count), split_views(count + more)
    assert [number for file in files for number in file] == list(range(count))
    assert longer[: len(files) - 1] == files[:-1]
    assert all(file.start % 2 == 0 for file in files)

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from shears.data.augmentation import draw_views
from shears.data.views import ViewSettings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("count", 0), ("count", 1001), ("count", 2.5), ("crop", 16), ("crop", -1)),
        *(("flip", 1), ("seed", -1), ("seed", 1_000_001), ("seed", "0")),
    ],
)
def test_a_value_that_cannot_be_drawn_is_refused_by_its_key(key, value):
    with pytest.raises(ValidationError) as caught:
        ViewSettings(**{key: value})
    assert [problem["loc"] for problem in caught.value.errors()] == [(key,)]


@given(
    count=st.integers(1, 9),
    crop=st.integers(0, 15),
    flip=st.booleans(),
    seed=st.integers(0, 1_000_000),
)
def test_views_can_be_drawn_with_all_others_and_are_the_same_after_json(
    count, crop, flip, seed
):
    settings = ViewSettings(count=count, crop=crop, flip=flip, seed=seed)
    text = json.dumps(settings.model_dump(mode="json"))
    one, other = (
        draw_views(3, given.count, crop=given.crop, flip=given.flip, seed=given.seed)
        for given in (settings, ViewSettings(**json.loads(text)))
    )
    assert one.shape == (3, count, 3)
    assert one.tobytes() == other.tobytes()

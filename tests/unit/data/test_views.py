import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.data.views import draw_views


@settings(max_examples=20, deadline=None)
@given(crop=st.integers(0, 15), flip=st.booleans(), seed=st.integers(0, 99))
def test_views_are_within_their_bounds(crop, flip, seed):
    views = draw_views(200, 3, crop=crop, flip=flip, seed=seed)
    assert views.shape == (200, 3, 3)
    assert views.dtype == np.uint8
    assert set(np.unique(views[..., :2])) <= set(range(2 * crop + 1))
    assert set(np.unique(views[..., 2])) == ({0, 1} if flip else {0})

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shears.data.dataset import Split
from shears.data.splits import join, split_off
from shears.runtime.errors import UserError


def test_split_is_stratified_seeded_and_whole():
    images = np.arange(1000, dtype=np.uint16).astype(np.uint8)
    images = np.broadcast_to(images[:, None, None, None], (1000, 32, 32, 3))
    labels = (np.arange(1000) % 10).astype(np.uint8)
    rest, part = split_off(Split(images, labels), 100, seed=1)
    assert np.bincount(part.labels).tolist() == [10] * 10
    assert np.bincount(rest.labels).tolist() == [90] * 10
    both = np.concatenate([rest.images[:, 0, 0, 0], part.images[:, 0, 0, 0]])
    np.testing.assert_array_equal(np.sort(both), np.sort(images[:, 0, 0, 0]))
    again = split_off(Split(images, labels), 100, seed=1)[1]
    other = split_off(Split(images, labels), 100, seed=2)[1]
    np.testing.assert_array_equal(part.images, again.images)
    assert (part.images != other.images).any()


@pytest.mark.parametrize("count", [9, 991])
def test_split_of_impossible_size(count):
    data = Split(np.zeros((1000, 1)), np.arange(1000) % 10)
    with pytest.raises(
        UserError, match=f"validation_images: found {count}, expected 10"
    ):
        split_off(data, count, seed=0)


@given(st.integers(10, 90), st.integers(0, 5))
def test_what_was_split_is_whole_again_when_joined(count, seed):
    images = np.arange(100, dtype=np.uint8)[:, None]
    data = Split(images, images[:, 0] % 10)
    rest, part = split_off(data, count, seed)
    whole = join(rest, part)
    order = np.argsort(whole.images[:, 0])
    for one, other in zip(whole, data, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one[order], other)
    np.testing.assert_array_equal(whole.images[-count:], part.images)

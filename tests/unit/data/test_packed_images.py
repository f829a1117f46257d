import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shears.data.dataset import Split
from shears.data.packed_images import pack, split_digest, unpack
from shears.runtime.errors import UserError


def draw(seed: int, count: int) -> Split:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Split(images, rng.integers(0, 10, count, dtype=np.uint8))


@given(st.integers(0, 100), st.integers(1, 5))
@settings(max_examples=20)
def test_unpacked_images_are_exactly_the_packed_ones(seed, count):
    split = draw(seed, count)
    again = unpack(pack(split))
    np.testing.assert_array_equal(again.images, split.images)
    np.testing.assert_array_equal(again.labels, split.labels)
    assert again.images.dtype == again.labels.dtype == np.uint8


def test_smooth_images_shrink_to_a_fraction():
    rows, columns = np.mgrid[:32, :32]
    image = np.stack([rows + columns, rows, columns], -1).astype(np.uint8)
    split = Split(np.repeat(image[None], 50, 0), np.zeros(50, np.uint8))
    assert len(pack(split)) < split.images.nbytes / 50


def test_the_same_images_give_the_same_bytes():
    assert pack(draw(1, 3)) == pack(draw(1, 3))
    assert split_digest(draw(1, 3)) != split_digest(draw(2, 3))


@given(st.data())
@settings(max_examples=40)
def test_damage_is_detected_wherever_it_is(data):
    packed = bytearray(pack(draw(0, 2)))
    place = data.draw(st.integers(0, len(packed) - 1))
    packed[place] ^= data.draw(st.integers(1, 255))
    try:
        again = unpack(bytes(packed))
    except UserError as error:
        assert str(error).startswith("found ")
    else:  # a bit of the .xz format that means nothing
        np.testing.assert_array_equal(again.images, draw(0, 2).images)


@pytest.mark.parametrize("cut", [0, 10, 32, 100])
def test_what_is_cut_off_is_refused(cut):
    with pytest.raises(UserError, match="packed images"):
        unpack(pack(draw(0, 2))[:cut])


def test_other_images_than_the_checksum_is_of_are_refused():
    with pytest.raises(UserError, match="checksum does not match"):
        unpack(pack(draw(0, 2))[:32] + pack(draw(1, 2))[32:])

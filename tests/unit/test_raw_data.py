import tarfile

import h5py
import numpy as np
import pytest

from shears.dataset import Split, read_split, write_dataset
from shears.errors import UserError
from shears.raw_data import (
    TEST_MEMBER,
    TRAINING_MEMBERS,
    read_archive,
    read_digits,
    split_off,
)


def test_reads_images_in_row_column_channel_order(good_archive):
    training, test = read_archive(good_archive)
    assert training.images.shape == (50_000, 32, 32, 3)
    assert test.images.shape == (10_000, 32, 32, 3)
    assert training.images.dtype == test.labels.dtype == np.uint8
    np.testing.assert_array_equal(test.labels, np.arange(10_000) % 10)
    for image, value in (
        (training.images[0], 1),
        (training.images[-1], 5),
        (test.images[3], 6),
    ):
        expected = np.full((32, 32, 3), value)
        expected[0, 0, 0] = 200
        expected[1, 1, 1] = 100
        np.testing.assert_array_equal(image, expected)


def test_truncated(good_archive, tmp_path):
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(good_archive.read_bytes()[:-1000])
    with pytest.raises(UserError, match="cut.tar.gz: not a whole tar.gz"):
        read_archive(path)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\x1f\x8b" + bytes(99)])
def test_not_an_archive(tmp_path, content):
    path = tmp_path / "page.tar.gz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a whole tar.gz"):
        read_archive(path)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="No such file"):
        read_archive(tmp_path / "none.tar.gz")


def test_missing_member(make_archive, members):
    path = make_archive([(TEST_MEMBER, members[TEST_MEMBER])])
    with pytest.raises(UserError, match="data_batch_1.bin is missing"):
        read_archive(path)


def test_wrong_member_size(make_archive, members):
    path = make_archive([(TEST_MEMBER, members[TEST_MEMBER][:-1])])
    with pytest.raises(
        UserError, match="found 30,729,999 bytes, expected a file of 30,7"
    ):
        read_archive(path)


def test_label_above_nine(make_archive, members):
    data = bytearray(members[TEST_MEMBER])
    data[17 * 3073] = 10
    path = make_archive([(TEST_MEMBER, bytes(data))])
    with pytest.raises(UserError, match="row 17 has label 10, expected 0 to 9"):
        read_archive(path)


def test_member_twice(make_archive, members):
    entry = (TEST_MEMBER, members[TEST_MEMBER])
    with pytest.raises(UserError, match="there twice"):
        read_archive(make_archive([entry, entry]))


def test_member_that_is_a_link(make_archive):
    link = tarfile.TarInfo(TRAINING_MEMBERS[0])
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(UserError, match="no plain file"):
        read_archive(make_archive([("", link)]))


def test_members_outside_the_folder_are_never_written(make_archive, members, tmp_path):
    path = make_archive([("../evil", b"x"), *members.items()])
    before = set(tmp_path.parent.iterdir())
    read_archive(path)
    assert set(tmp_path.parent.iterdir()) == before


def test_split_is_stratified_seeded_and_whole():
    images = np.arange(1000, dtype=np.uint16).astype(np.uint8)
    images = np.broadcast_to(images[:, None, None, None], (1000, 32, 32, 3))
    labels = (np.arange(1000) % 10).astype(np.uint8)
    rest, apart = split_off(Split(images, labels), 100, seed=1)
    assert np.bincount(apart.labels).tolist() == [10] * 10
    assert np.bincount(rest.labels).tolist() == [90] * 10
    both = np.concatenate([rest.images[:, 0, 0, 0], apart.images[:, 0, 0, 0]])
    np.testing.assert_array_equal(np.sort(both), np.sort(images[:, 0, 0, 0]))
    again = split_off(Split(images, labels), 100, seed=1)[1]
    other = split_off(Split(images, labels), 100, seed=2)[1]
    np.testing.assert_array_equal(apart.images, again.images)
    assert (apart.images != other.images).any()


@pytest.mark.parametrize("count", [9, 991])
def test_split_of_impossible_size(count):
    data = Split(np.zeros((1000, 1)), np.arange(1000) % 10)
    with pytest.raises(
        UserError, match=f"validation_images: found {count}, expected 10"
    ):
        split_off(data, count, seed=0)


def test_digits_are_real_images_of_all_classes():
    rest, test = read_digits(seed=0)
    assert rest.images.shape == (1500, 32, 32, 3)
    assert test.images.shape == (297, 32, 32, 3)
    assert rest.images.max() == 255
    assert set(rest.labels) == set(test.labels) == set(range(10))


def test_dataset_round_trip_and_a_split_is_read_alone(tmp_path):
    path = tmp_path / "dataset.h5"
    data = Split(np.zeros((5, 32, 32, 3), np.uint8), np.arange(5, dtype=np.uint8))
    write_dataset(path, {"train": data, "test": data})
    with h5py.File(path, "r+") as file:
        del file["test"]
    np.testing.assert_array_equal(read_split(path, "train").labels, data.labels)
    with pytest.raises(UserError, match="cannot read the test split"):
        read_split(path, "test")

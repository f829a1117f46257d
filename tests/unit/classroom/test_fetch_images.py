import numpy as np
import pytest

from shears.classroom.fetch_images import fetch
from shears.data.cifar10 import read_archive
from shears.data.packed_images import unpack
from shears.runtime.errors import UserError
from shears.runtime.files import checksum


def test_the_first_server_with_the_right_file_is_taken(good_archive, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_bytes(b"<html>")
    urls = [(tmp_path / "none").as_uri(), wrong.as_uri(), good_archive.as_uri()]
    target = tmp_path / "test_images.packed"
    fetch(target, urls, checksum(good_archive))
    test = read_archive(good_archive)[1]
    np.testing.assert_array_equal(unpack(target.read_bytes()).images, test.images)


def test_where_no_server_has_the_file_each_is_named_and_nothing_is_written(
    good_archive, tmp_path
):
    target = tmp_path / "test_images.packed"
    urls = [(tmp_path / "none").as_uri(), good_archive.as_uri()]
    with pytest.raises(UserError, match="none: .*expected 0000.*--images zip"):
        fetch(target, urls, "0" * 64)
    assert not target.exists()

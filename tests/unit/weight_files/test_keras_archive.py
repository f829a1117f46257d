import shutil
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.model.architecture import SHAPES
from shears.model.parameters import Parameters
from shears.runtime.errors import UserError
from shears.weight_files.keras_archive import (
    MOST,
    MOST_LISTED,
    is_archive,
    read_keras_archive,
)
from shears.weight_files.reader import loaders, read_weights_file
from tests.conftest import refused
from tests.unit.weight_files.bad_archives import (
    BAD_ARCHIVES,
    pack_archive,
    unpack_archive,
    with_member,
    with_weights,
)
from tests.unit.weight_files.bad_files import flip_bits
from tests.unit.weight_files.genuine_files import GENUINE, unpack
from tools.keras_files import pattern

NAME = "keras-3.15.sequential.save.keras"


@pytest.fixture(scope="module")
def genuine(tmp_path_factory) -> Path:
    return unpack(NAME, tmp_path_factory.mktemp("keras"))


@pytest.fixture(scope="module")
def content(genuine) -> bytes:
    return genuine.read_bytes()


def test_the_members_are_read(genuine):
    with genuine.open("rb") as file:
        assert is_archive(file)
        archive = read_keras_archive(file)
    assert archive.writer.startswith("3.15.")
    assert archive.config.startswith('{"module": "keras", "class_name": "Sequential"')
    assert archive.weights == unpack_archive(genuine.read_bytes())["model.weights.h5"]


def test_genuine_archives_are_far_smaller_than_the_limits(tmp_path):
    names = [name for name in GENUINE if name.endswith(".keras")]
    archives = [unpack(name, tmp_path) for name in names]
    archives = [path for path in archives if zipfile.is_zipfile(path)]
    assert len(archives) >= 4
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                assert 4 * member.file_size < MOST[member.filename]
            assert 10 * (path.stat().st_size - archive.start_dir) < MOST_LISTED


def test_the_contents_say_what_a_file_is_and_not_its_name(tmp_path, genuine, good):
    renamed = Path(shutil.copyfile(genuine, tmp_path / "renamed.h5"))
    contents = read_weights_file(renamed)
    assert contents.layout == "Keras 3 model"
    assert not any(loaders(contents, renamed).values())
    renamed = Path(shutil.copyfile(good, tmp_path / "renamed.keras"))
    contents = read_weights_file(renamed)
    assert contents.layout == "Keras 2 weights"
    # Keras 2 reads it, as it was measured to; Keras 3 does not.
    both = ["load_weights", "load_model"]
    assert loaders(contents, renamed) == {
        "TensorFlow 2.2": both,
        "TensorFlow 2.15": both,
        "tf_keras 2.21": both,
        "Keras 3.15": [],
    }


def test_an_archive_that_was_packed_again_is_read(tmp_path, content):
    path = tmp_path / "packed.keras"
    path.write_bytes(pack_archive(unpack_archive(content), zipfile.ZIP_DEFLATED))
    assert path.stat().st_size < len(content) / 10
    expected = Parameters.from_arrays(pattern(SHAPES))
    np.testing.assert_array_equal(
        read_weights_file(path).parameters.vector, expected.vector
    )


@pytest.mark.parametrize("metadata", [b"{}", b"[]", b'{"keras_version": 3}'])
def test_an_archive_need_not_say_what_wrote_it(tmp_path, content, metadata):
    path = tmp_path / "anonymous.keras"
    path.write_bytes(with_member("metadata.json", metadata)(content))
    contents = read_weights_file(path)
    assert contents.writer == "of an unknown version"
    assert loaders(contents, path)["Keras 3.15"] == ["load_weights", "load_model"]
    keras.models.load_model(path)


def test_tensorflow_2_13s_names_are_read_and_load_in_keras_3(tmp_path, content):
    def rename(file: h5py.File) -> None:
        file.move("layers", "_layer_checkpoint_dependencies")

    path = tmp_path / "old.keras"
    path.write_bytes(with_weights(rename)(content))
    contents = read_weights_file(path)
    assert contents.layout == "TensorFlow 2.13 model"
    assert {grader for grader, ways in loaders(contents, path).items() if ways} == {
        "Keras 3.15"
    }
    model = keras.models.load_model(path)
    for ours, theirs in zip(
        contents.parameters.arrays, model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", BAD_ARCHIVES)
def test_bad_archives_are_refused_in_one_line(tmp_path, content, kind):
    path = tmp_path / "bad.keras"
    change, message = BAD_ARCHIVES[kind]
    path.write_bytes(change(content))
    with refused(path, message):
        read_weights_file(path)


@pytest.mark.slow
@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_crashes_reading(tmp_path, content, data):
    path = tmp_path / "bad.keras"
    small = pack_archive(unpack_archive(content), zipfile.ZIP_DEFLATED)
    path.write_bytes(flip_bits(data, small))
    try:
        assert np.isfinite(read_weights_file(path).parameters.vector).all()
    except UserError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)

"""Each file of a class is scored once, and one that is refused stops no other."""

import fcntl
import json
import os
import shutil

import h5py
import numpy as np
import pytest

from shears.classroom import scoring
from shears.classroom.scoring import score_files
from shears.evaluation.grading import GradedNetwork
from shears.runtime.errors import UserError
from shears.weight_files.canonical import write_weights
from tests.conftest import make_parameters
from tests.unit.evaluation.test_grading import make_split

TEST = make_split(40)


@pytest.fixture
def folder(tmp_path):
    """Files of four students: a good one, its copy in another layout, two refused."""
    write_weights(tmp_path / "good.h5", make_parameters(0, zeros=0.5))
    shutil.copy(tmp_path / "good.h5", tmp_path / "copy.h5")
    with h5py.File(tmp_path / "copy.h5", "r+") as file:
        file.attrs["note"] = "another file, the same weights"
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    (tmp_path / "text.h5").write_text("no weights", encoding="utf-8")
    return tmp_path


def names(folder, *chosen):
    return [folder / f"{name}.h5" for name in chosen]


def score(paths, folder, images="made up", test=lambda: TEST):
    cache = folder / "cache"
    return list(score_files(paths, test, images=images, cache=cache))


def test_a_file_has_the_score_that_the_grader_gives(folder):
    ((path, scored, known),) = score(names(folder, "good"), folder)
    parameters = make_parameters(0, zeros=0.5)
    expected, _ = GradedNetwork.from_parameters(parameters).score(TEST)
    assert path == folder / "good.h5"
    assert not known and scored.refused is None
    assert scored.bytes == os.path.getsize(path)
    for key in ("images", "correct", "accuracy", "zeros", "sparsity", "score"):
        assert getattr(scored, key) == expected[key]


def test_what_is_refused_stops_no_other_file(folder):
    (folder / "pipe.h5").unlink(missing_ok=True)
    os.mkfifo(folder / "pipe.h5")
    paths = names(folder, "empty", "text", "missing", "pipe", "good")
    results = score(paths, folder)
    assert [path for path, _, _ in results] == paths
    refused = [scored.refused for _, scored, _ in results]
    assert refused[-1] is None
    for reason in refused[:-1]:
        assert reason and "\n" not in reason and str(folder) not in reason
    assert all(scored.score is None for _, scored, _ in results[:-1])


def test_a_refusal_does_not_name_its_file_whatever_the_name(folder):
    path = folder / "ada\n\x1b[31m\udcff.h5"
    (folder / "text.h5").rename(path)
    pipe = folder / "bob\n.h5"
    os.mkfifo(pipe)
    for _, scored, _ in score([path, pipe], folder):
        assert not {"ada", "bob", str(folder)} & set(scored.refused.split())
        assert str(folder) not in scored.refused


def test_a_second_run_scores_only_what_is_new(folder):
    first = score(names(folder, "good", "text"), folder)
    write_weights(folder / "new.h5", make_parameters(1))
    again = score(names(folder, "good", "text", "new"), folder)
    assert [known for _, _, known in first] == [False, False]
    assert [known for _, _, known in again] == [True, False, False]
    assert [s for _, s, _ in again[:2]] == [s for _, s, _ in first]


def test_nothing_new_needs_no_test_images(folder):
    paths = names(folder, "good", "empty")
    first = score(paths, folder)

    def fail():
        raise AssertionError("the test images were read")

    again = score(paths, folder, test=fail)
    assert [s for _, s, _ in again] == [s for _, s, _ in first]


def test_test_images_that_cannot_be_read_are_no_fault_of_a_file(folder):
    def broken():
        raise UserError("the test images cannot be read")

    with pytest.raises(UserError, match="the test images"):
        score(names(folder, "good"), folder, test=broken)


def test_a_file_that_another_program_had_open_is_scored_by_the_next_run(folder):
    (path,) = names(folder, "good")
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ((_, scored, _),) = score([path], folder)
    assert "another program has it open for writing" in scored.refused
    ((_, scored, known),) = score([path], folder)
    assert scored.refused is None and not known


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_what_changes_while_it_is_read_is_not_kept(folder, monkeypatch, change):
    """A network may be uploaded while the class is scored."""
    path, original = folder / "good.h5", (folder / "good.h5").read_bytes()
    read = scoring.read_weights_file

    def change_and_read(path, *arguments):
        path.unlink() if change == "removed" else path.write_bytes(b"cut off")
        return read(path, *arguments)

    monkeypatch.setattr(scoring, "read_weights_file", change_and_read)
    ((_, scored, _),) = score([path], folder)
    assert scored.refused and str(path) not in scored.refused
    monkeypatch.undo()
    path.write_bytes(original)
    ((_, scored, known),) = score([path], folder)
    assert not known and scored.refused is None


def test_a_renamed_file_is_known(folder):
    score(names(folder, "good"), folder)
    (folder / "good.h5").rename(folder / "renamed.h5")
    ((_, _, known),) = score(names(folder, "renamed"), folder)
    assert known


def test_other_images_or_another_scorer_use_no_old_score(folder, monkeypatch):
    score(names(folder, "good"), folder)
    ((_, _, known),) = score(names(folder, "good"), folder, images="others")
    assert not known
    monkeypatch.setattr(scoring, "code_digest", lambda *_: "edited")
    ((_, _, known),) = score(names(folder, "good"), folder)
    assert not known


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256": 1}', '{"a": 0}'])
def test_a_broken_result_is_made_again(folder, content):
    ((_, first, _),) = score(names(folder, "good"), folder)
    (place,) = folder.glob("cache/*/*.json")
    place.write_text(content, encoding="utf-8")
    ((_, again, known),) = score(names(folder, "good"), folder)
    assert again == first and not known
    assert json.loads(place.read_text(encoding="utf-8"))["sha256"] == first.sha256


def test_the_same_weights_and_masks_are_known_by_their_digests(folder):
    parameters = make_parameters(0, zeros=0.5)
    near = np.where(parameters.vector != 0, parameters.vector + 1, 0)
    write_weights(folder / "near.h5", type(parameters)(near.astype(np.float32)))
    write_weights(folder / "other.h5", make_parameters(1, zeros=0.5))
    write_weights(folder / "dense.h5", make_parameters(2))
    paths = names(folder, "good", "copy", "near", "other", "dense")
    good, copy, near, other, dense = (s for _, s, _ in score(paths, folder))
    assert good.sha256 != copy.sha256
    assert good.weights == copy.weights
    assert good.mask == copy.mask == near.mask != other.mask
    assert len({good.weights, near.weights, other.weights, dense.weights}) == 4
    assert dense.mask is None

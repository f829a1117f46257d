import errno
import json
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.training.checkpoint import (
    Checkpoint,
    State,
    checkpoint_key,
    epochs_done,
    remove_finished,
)
from tests.conftest import refused

STATE = State(
    {"parameters": np.arange(500, dtype=np.float32), "mask": np.ones(500, np.float32)},
    [{"epoch": 1, "loss": 0.1 + 0.2}],
    False,
)


def test_round_trip_keeps_every_bit(tmp_path):
    checkpoint = Checkpoint(tmp_path / "new/a.npz", "key")
    assert checkpoint.load() is None
    checkpoint.save(STATE)
    loaded = checkpoint.load()
    assert loaded.history == STATE.history
    assert not loaded.finished
    assert loaded.arrays.keys() == STATE.arrays.keys()
    for name, array in STATE.arrays.items():
        assert loaded.arrays[name].tobytes() == array.tobytes()


def test_a_checkpoint_with_another_key_is_not_used(tmp_path):
    Checkpoint(tmp_path / "a.npz", "key").save(STATE)
    assert Checkpoint(tmp_path / "a.npz", "other").load() is None


@pytest.mark.parametrize("change", ["file", "setting", "nested", "order"])
def test_the_key_depends_on_everything(tmp_path, change):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"1")
    b.write_bytes(b"2")
    settings_ = {"recipe": {"epochs": 3, "flip": True}, "seed": 0}
    before = checkpoint_key([a, b], settings_, "code")
    assert checkpoint_key([a, b], dict(reversed(settings_.items())), "code") == before
    if change == "file":
        b.write_bytes(b"3")
        after = checkpoint_key([a, b], settings_, "code")
    elif change == "order":
        after = checkpoint_key([b, a], settings_, "code")
    elif change == "setting":
        after = checkpoint_key([a, b], {**settings_, "seed": 1}, "code")
    else:
        after = checkpoint_key(
            [a, b], {**settings_, "recipe": {"epochs": 4, "flip": True}}, "code"
        )
    assert after != before
    assert checkpoint_key([a, b], settings_, "other") != before
    assert checkpoint_key([a, b], settings_, "code", precision="bfloat16") != before


def test_epochs_count_if_the_settings_are_the_same(tmp_path):
    path, file = tmp_path / "a.npz", tmp_path / "data"
    assert epochs_done(path, {"seed": 0}, "code") == 0
    file.write_bytes(b"1")
    Checkpoint(path, checkpoint_key([file], {"seed": 0}, "code")).save(STATE)
    assert [epochs_done(path, {"seed": seed}, "code") for seed in (0, 1)] == [1, 0]
    path.write_bytes(b"damaged")
    assert epochs_done(path, {"seed": 0}, "code") == 0


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_damaged_checkpoint_is_never_resumed(tmp_path, data):
    path = tmp_path / "a.npz"
    checkpoint = Checkpoint(path, "key")
    checkpoint.save(STATE)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del content[place:]
    path.write_bytes(content)
    loaded = checkpoint.load()
    if loaded:  # the bit was one that zip files do not use
        assert loaded.history == STATE.history
        for name, array in STATE.arrays.items():
            assert loaded.arrays[name].tobytes() == array.tobytes()


def test_a_checkpoint_that_cannot_be_read_is_not_overwritten(tmp_path, monkeypatch):
    """It may be whole, and hold hours of training."""
    path = tmp_path / "a.npz"
    Checkpoint(path, "key").save(STATE)

    def fail(*_, **__):
        raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    monkeypatch.setattr("os.open", fail)
    with pytest.raises(OSError, match="Input/output error"):
        Checkpoint(path, "key").load()
    monkeypatch.undo()
    path.write_bytes(b"")  # no member, which NumPy calls the end of the file
    assert Checkpoint(path, "key").load() is None


def test_a_fifo_in_place_of_a_checkpoint_does_not_hang(tmp_path):
    path = tmp_path / "a.npz"
    os.mkfifo(path)
    with refused(path, "found a FIFO, expected a file"):
        Checkpoint(path, "key").load()
    assert epochs_done(path, {}, "code") == 0
    remove_finished([path], tmp_path)
    assert path.is_fifo()


def test_finished_checkpoints_are_removed_and_others_kept(tmp_path):
    finished = STATE._replace(finished=True)
    root = tmp_path / "checkpoints"
    Checkpoint(root / "a/b/done.npz", "key").save(finished)
    remove_finished([root / "none/none.npz", root / "a/b/done.npz"], root)
    assert not root.exists()
    assert tmp_path.exists()
    folder = root / "b"
    for name in ("done.npz", "another_jobs.npz"):
        Checkpoint(folder / name, "key").save(finished)
    Checkpoint(folder / "going.npz", "key").save(STATE)
    (folder / "broken.npz").write_text(json.dumps({}), encoding="utf-8")
    names = ("done", "going", "broken")
    remove_finished((folder / f"{name}.npz" for name in names), root)
    assert {path.name for path in folder.iterdir()} == {
        "another_jobs.npz",
        "going.npz",
    }

"""Checkpoints: training state on disk, from which a killed job resumes."""

import hashlib
import io
import json
import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shears.runtime.errors import UserError, brief
from shears.runtime.files import checksum, open_regular, whole_file

log = logging.getLogger(__name__)


def settings_digest(settings: Mapping[str, Any], code: str) -> str:
    """Computes a checksum of what a training run is known by before it starts.

    Args:
        settings: The run's settings; anything that JSON can hold. Their "precision" is
            left out: what "auto" chooses counts, and that is found out later.
        code: Digest of the run's code.

    Returns:
        sha256 in hexadecimal.
    """
    known = {name: value for name, value in settings.items() if name != "precision"}
    return _digest({**known, "code": code})


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def checkpoint_key(
    files: Iterable[str | Path], settings: Mapping[str, Any], code: str, **found: Any
) -> str:
    """Computes a checksum of everything that the result of a training run depends on.

    Args:
        files: The run's input files, in order; their contents matter, not their names.
        settings: As for `settings_digest`.
        code: As for `settings_digest`.
        found: What else it depends on, such as the precision that was chosen.

    Returns:
        The settings' digest, by which a forecast knows the checkpoint, and another
        sha256 of all else. It covers the versions of TensorFlow and NumPy.
    """
    rest = {
        "files": [checksum(file) for file in files],
        "found": found,
        "versions": [version("tensorflow"), version("numpy")],
    }
    return f"{settings_digest(settings, code)}-{_digest(rest)}"


def epochs_done(path: str | Path, settings: Mapping[str, Any], code: str) -> int:
    """Reads how many epochs a checkpoint of a run with these settings has.

    Args:
        path: The checkpoint; it need not exist.
        settings: As for `settings_digest`.
        code: As for `settings_digest`.

    Returns:
        0 if the file is missing, damaged or from other settings, because training then
        starts over.
    """
    try:
        with open_regular(path) as opened, np.load(opened) as file:
            about = json.loads(str(file["about"]))
        fits = about["key"].startswith(settings_digest(settings, code) + "-")
        return len(about["history"]) if fits else 0
    except Exception:  # zipfile raises nearly anything on a damaged file
        return 0


class State(NamedTuple):
    """What training resumes from.

    Attributes:
        arrays: The variables by name (`TrainState.to_arrays`).
        history: A row per completed epoch.
        finished: Whether no epoch is left.
    """

    arrays: Mapping[str, np.ndarray]
    history: list[dict[str, float]]
    finished: bool


class Checkpoint:
    """A training run's checkpoint: an uncompressed .npz with a CRC-32 per member."""

    def __init__(self, path: str | Path, key: str):
        """Takes the file's path and the run's key.

        Args:
            path: The file; it need not exist.
            key: `checkpoint_key` of the training run.
        """
        self.path, self.key = Path(path), key

    def load(self) -> State | None:
        """Reads the state; None if it is missing, damaged or has another key.

        Raises:
            OSError: It cannot be read. Starting over would then overwrite it, though it
                may be whole.
            UserError: It is no regular file.
        """
        try:
            with open_regular(self.path) as opened:
                content = opened.read()
        except FileNotFoundError:
            return None
        try:
            with np.load(io.BytesIO(content)) as file:
                about = json.loads(str(file["about"]))
                if about["key"] != self.key:
                    log.info(
                        "%s: from other settings or data; starting over", self.path
                    )
                    return None
                arrays = {name: file[name] for name in about["arrays"]}
            return State(arrays, about["history"], about["finished"])
        except MemoryError:
            raise
        except Exception as error:  # zipfile raises nearly anything on a damaged file
            log.warning("%s: damaged (%s); starting over", self.path, brief(error))
            return None

    def save(self, state: State) -> None:
        """Writes the state, whole or not at all.

        Raises:
            OSError: The disk is full or not writable.
        """
        about = {
            "key": self.key,
            "history": state.history,
            "finished": state.finished,
            "arrays": list(state.arrays),
        }
        members: dict[str, Any] = {"about": np.array(json.dumps(about)), **state.arrays}
        with whole_file(self.path) as file:
            np.savez(file, **members)


def remove_finished(paths: Iterable[str | Path], root: str | Path) -> None:
    """Removes the checkpoints of finished training runs.

    A job does not remove its own checkpoint: if it were killed before the workflow
    recorded it as done, it would have to train again from the start.

    Args:
        paths: Checkpoints, which need not exist. Folders left empty are removed too.
        root: The folder that holds all of them.
    """
    root = Path(root)
    for path in map(Path, paths):
        try:
            with open_regular(path) as opened, np.load(opened) as file:
                finished = json.loads(str(file["about"]))["finished"]
        except FileNotFoundError:
            continue
        except (MemoryError, OSError, UserError):
            finished = False  # unreadable now, which proves nothing
        except Exception:
            finished = True  # damaged, so useless
        if finished:
            path.unlink()
            for folder in path.parents:
                if folder == root.parent or any(folder.iterdir()):
                    break
                folder.rmdir()

"""Checkpoints: a training's state on disk, from which a killed job resumes."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shears.runtime.errors import brief
from shears.runtime.files import checksum, whole_file

log = logging.getLogger(__name__)


def checkpoint_key(files: Iterable[str | Path], settings: Mapping) -> str:
    """Computes a checksum of everything that a training's result depends on.

    Args:
        files: Its input files, in order; their contents matter, not their names.
        settings: Its settings, anything JSON holds.

    Returns:
        sha256 in hexadecimal. The versions of TensorFlow and NumPy are part of it.
    """
    parts = {
        "files": [checksum(file) for file in files],
        "settings": settings,
        "versions": [version("tensorflow"), version("numpy")],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class State(NamedTuple):
    """What a training resumes from.

    Attributes:
        arrays: The variables by name (`TrainState.to_arrays`).
        history: A row for each completed epoch.
        finished: Whether no epoch is left.
    """

    arrays: Mapping[str, np.ndarray]
    history: list[dict[str, float]]
    finished: bool


class Checkpoint:
    """A training's checkpoint: an uncompressed .npz with a CRC-32 for each member."""

    def __init__(self, path: str | Path, key: str):
        """Names the file and what it must belong to.

        Args:
            path: The file; it need not exist.
            key: The training's (`checkpoint_key`).
        """
        self.path, self.key = Path(path), key

    def load(self) -> State | None:
        """Reads the state; None if there is none, it is damaged or has another key."""
        try:
            with np.load(self.path) as file:
                about = json.loads(str(file["about"]))
                if about["key"] != self.key:
                    log.info(
                        "%s: from other settings or data; starting over", self.path
                    )
                    return None
                arrays = {name: file[name] for name in about["arrays"]}
            return State(arrays, about["history"], about["finished"])
        except FileNotFoundError:
            return None
        except Exception as error:  # zipfile raises nearly anything on a damaged file
            log.warning("%s: damaged (%s); starting over", self.path, brief(error))
            return None

    def save(self, state: State) -> None:
        """Writes the state, whole or not at all.

        Raises:
            OSError: The disk is full or cannot be written.
        """
        about = {
            "key": self.key,
            "history": state.history,
            "finished": state.finished,
            "arrays": list(state.arrays),
        }
        with whole_file(self.path) as temporary, temporary.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), **state.arrays)


def remove_finished(paths: Iterable[str | Path], root: str | Path) -> None:
    """Removes those of these checkpoints whose trainings are finished.

    A job does not remove its own: if it were killed before the workflow has noted that
    it is done, it would have to train again from the start.

    Args:
        paths: Checkpoints, which need not exist; an emptied folder goes too.
        root: The folder that all of them are in.
    """
    root = Path(root)
    for path in map(Path, paths):
        try:
            with np.load(path) as file:
                finished = json.loads(str(file["about"]))["finished"]
        except FileNotFoundError:
            continue
        except OSError:
            finished = False  # it cannot be read now, which proves nothing
        except Exception:
            finished = True  # damaged, so useless
        if finished:
            path.unlink()
            for folder in path.parents:
                if folder == root.parent or any(folder.iterdir()):
                    break
                folder.rmdir()

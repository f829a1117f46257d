"""A training's state on disk, from which a killed stage goes on."""

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


def stage_key(files: Iterable[str | Path], settings: Mapping) -> str:
    """Computes a checksum of everything that determines what a stage makes.

    Args:
        files: Its input files, in order; their contents count, not their names.
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
    """What a training is resumed from.

    Attributes:
        arrays: The step's variables by name (`shears.training.trainer.Step.state`).
        history: A row for each epoch that is done.
        finished: Whether no epoch is left.
    """

    arrays: Mapping[str, np.ndarray]
    history: list[dict[str, float]]
    finished: bool


class Checkpoint:
    """One stage's state file: an uncompressed .npz, each member with its CRC-32."""

    def __init__(self, path: str | Path, key: str):
        """Names the file and what the state must belong to.

        Args:
            path: The file; it need not exist.
            key: Of the stage (`stage_key`).
        """
        self.path, self.key = Path(path), key

    def load(self) -> State | None:
        """Reads the state; None if there is none, it is damaged or of another key."""
        try:
            with np.load(self.path) as file:
                about = json.loads(str(file["about"]))
                if about["key"] != self.key:
                    log.info("%s: of other settings or data, not used", self.path)
                    return None
                arrays = {name: file[name] for name in about["arrays"]}
            return State(arrays, about["history"], about["finished"])
        except FileNotFoundError:
            return None
        except Exception as error:  # zipfile raises nearly anything on a damaged file
            log.warning("%s: damaged (%s): from the start", self.path, brief(error))
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
    """Removes those of these state files that are of finished trainings.

    A stage does not remove its own: killed between that and the workflow's note that
    the stage is done, it would be trained again from the start.

    Args:
        paths: State files, which need not exist; a folder goes with its last one.
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
            finished = False  # it cannot be read now, which says nothing of it
        except Exception:
            finished = True  # damaged: of no use
        if finished:
            path.unlink()
            for folder in path.parents:
                if folder == root.parent or any(folder.iterdir()):
                    break
                folder.rmdir()

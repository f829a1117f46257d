"""Fixtures that several test files share."""

import io
import os
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from shears.data.cifar10 import FOLDER, ROW_BYTES, ROWS, TEST_MEMBER, TRAINING_MEMBERS
from shears.model.architecture import SHAPES
from shears.model.parameters import Parameters
from shears.runtime.errors import UserError

# Tests read what Snakemake writes; tests/display/ has its own display.
os.environ["VERBOSE"] = "1"
# A busy machine is no failure: no test is timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@contextmanager
def refused(path: Path, message: str) -> Iterator[pytest.ExceptionInfo[UserError]]:
    """Expects a refusal that names the file, in one or two lines; yields it."""
    with pytest.raises(UserError) as caught:
        yield caught
    text = str(caught.value)
    assert text.startswith(str(path))
    assert message in text
    assert text.count("\n") <= 1
    assert text.replace("\n", "").isprintable()  # a terminal would obey the rest
    assert len(text.replace(str(path), "")) < 350


def make_parameters(seed: int, *, zeros: float = 0.0) -> Parameters:
    """Draws parameters, a fraction of them zero."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, 0.05, shape).astype(np.float32) for shape in SHAPES]
    for array in weights:
        array[rng.random(array.shape) < zeros] = 0
    return Parameters.from_arrays(weights)


def member_bytes(index: int) -> bytes:
    """Makes a batch file: labels in turn, pixels all of one value but a marked one."""
    rows = np.full((ROWS, ROW_BYTES), index, np.uint8)
    rows[:, 0] = np.arange(ROWS) % 10
    rows[:, 1] = 200  # red, row 0, column 0
    rows[:, 1 + 1024 + 33] = 100  # green, row 1, column 1
    return rows.tobytes()


@pytest.fixture
def own_git(monkeypatch) -> None:
    """Keeps git to a test's own repositories, also inside a hook of another one."""
    if not shutil.which("git"):
        pytest.skip("no git here")
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


@pytest.fixture(scope="session")
def members() -> dict[str, bytes]:
    names = (*TRAINING_MEMBERS, TEST_MEMBER)
    return {name: member_bytes(i) for i, name in enumerate(names, 1)}


@pytest.fixture
def make_archive(tmp_path) -> Callable[[Iterable[tuple[str, bytes]]], Path]:
    """Returns a function that writes a tar.gz of (name, content) pairs."""

    def write(content: Iterable[tuple[str, bytes | tarfile.TarInfo]]) -> Path:
        path = tmp_path / "cifar-10-binary.tar.gz"
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            for name, data in content:
                if isinstance(data, tarfile.TarInfo):
                    archive.addfile(data)
                    continue
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        return path

    return write


@pytest.fixture(scope="session")
def good_archive(members, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.addfile(tarfile.TarInfo(f"{FOLDER}/batches.meta.txt"))
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path

"""Weights files that genuine Keras versions wrote (tools/keras_files.py)."""

import lzma
import shutil
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "data/keras_files"
GENUINE = sorted(path.stem for path in FOLDER.glob("*.xz"))


def unpack(name: str, folder: Path) -> Path:
    """Unpacks a file into a folder."""
    path = folder / name
    with lzma.open(FOLDER / f"{name}.xz") as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    return path

"""The submission: the files to hand in, and a README that explains them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from shears.runtime import machine
from shears.runtime.files import checksum, read_json, verify, write_bytes, write_json
from shears.weight_files.canonical import read_weights

READ_ME = """\
Homework 5 of CMU 10-405/10-605 (spring 2020): what to hand in.
{notebook}
Part B: upload my_model_weights.h5. On the test images (10,000 for CIFAR-10) it has
    accuracy  {accuracy:.4f} (more than 0.65 is needed)
    sparsity  {sparsity:.4f} ({zeros:,} of {parameters:,} weights are zero)
    score     {score:.4f}
{refit}It loads with load_weights and load_model in TensorFlow 2, tf_keras and Keras 3.
sha256 {sha256}

manifest.json holds the same facts for programs; do not upload it.
"""
REFIT = """\
It was trained on {images:,} images. It takes the place of a candidate that was
chosen by a run which kept {validation:,} of them for validation. No images were left to
validate it on, so nothing but its test score is known of its own accuracy.
"""
OUR_NOTEBOOK = """
Part A: upload assignment_notebook.ipynb. It has been executed, and needs only
TensorFlow, NumPy and Matplotlib. It has the interface and tests of the course's
notebook, but is not the course's file: to hand in that, fill your own download
(docs/bring_your_own.md).
"""
THEIR_NOTEBOOK = """
Part A: upload assignment_notebook.ipynb. It is your own download of the course's
notebook, with the solutions filled in. It was executed to see that its tests pass;
the outputs are not in the file. Rename it if your course asks for another name.
"""


def package(
    weights: str | Path,
    target: str | Path,
    manifest: str | Path,
    *,
    choice: Mapping[str, Any],
    test: Mapping[str, float],
    refit: Mapping[str, Any] | None = None,
) -> None:
    """Copies the chosen weights file to its final name and describes it.

    Args:
        weights: The chosen candidate's file, or its refit's; it is checked again.
        target: The file to hand in.
        manifest: JSON file: candidate, scores, sparsity, checksum, versions, commit.
        choice: The choice (`selection.choose`).
        test: Its score on the test set.
        refit: If it is a refit, what the manifest says of that: images (that it was
            trained on), validation_images (of them, that chose the candidate) and
            candidate_test (the candidate's score on the test set).

    Raises:
        UserError: The weights file is damaged.
    """
    read_weights(weights)
    write_bytes(target, Path(weights).read_bytes())
    write_json(
        manifest,
        {
            "file": Path(target).name,
            "sha256": checksum(target),
            "bytes": Path(target).stat().st_size,
            "candidate": choice["candidate"],
            "reason": choice["reason"],
            "zeros": test["zeros"],
            "parameters": test["parameters"],
            "sparsity": test["sparsity"],
            "validation": {
                key: choice["validation"][key] for key in ("accuracy", "score")
            },
            "test": {key: test[key] for key in ("accuracy", "score")},
            **({"refit": dict(refit)} if refit else {}),
            "machine": machine.describe(),
        },
    )


def _entry(name: str) -> zipfile.ZipInfo:
    """Makes a compressed entry without a date, so that equal files give equal bytes."""
    entry = zipfile.ZipInfo(name)
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def pack(
    manifest: str | Path,
    files: Sequence[str | Path],
    archive: str | Path,
    *,
    filled: bool = False,
) -> None:
    """Packs the submission into a zip file; the same files give the same bytes.

    Args:
        manifest: As `package` wrote it.
        files: The weights file, and Part A's notebook if there is one.
        archive: The zip file to write; it also gets a README.txt.
        filled: Whether the notebook is the student's own, filled.

    Raises:
        UserError: A file is damaged.
    """
    about = read_json(manifest)
    notebook = THEIR_NOTEBOOK if filled else OUR_NOTEBOOK
    refit = about.get("refit")
    with_notebook = any(Path(path).suffix == ".ipynb" for path in files)
    text = READ_ME.format(
        **{key: about[key] for key in ("sparsity", "zeros", "parameters", "sha256")},
        **about["test"],
        notebook=notebook if with_notebook else "",
        refit=REFIT.format(
            images=refit["images"], validation=refit["validation_images"]
        )
        if refit
        else "",
    )
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as zip_file:
        for path in [*files, manifest]:
            verify(path)
            zip_file.writestr(_entry(Path(path).name), Path(path).read_bytes())
        zip_file.writestr(_entry("README.txt"), text)
    write_bytes(archive, content.getvalue())

"""Packaging: the weights file that is handed in, and what is in it."""

from collections.abc import Mapping
from pathlib import Path

from shears import machine
from shears.files import checksum, write_bytes, write_json
from shears.weights import read_weights


def package(
    weights: str | Path,
    target: str | Path,
    manifest: str | Path,
    *,
    choice: Mapping,
    test: Mapping[str, float],
) -> None:
    """Copies the chosen weights file to its final name and describes it.

    Args:
        weights: The chosen candidate's file; it is read and checked once more.
        target: The name it is handed in under.
        manifest: JSON file: candidate, scores, sparsity, checksum, versions, commit.
        choice: What `shears.selection.choose` said.
        test: The candidate's score on the test set.

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
            "machine": machine.describe(),
        },
    )

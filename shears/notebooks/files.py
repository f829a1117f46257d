"""Notebooks of this project: converted to run them, and written."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from shears.notebooks.document import Document, read_document
from shears.runtime.errors import UserError
from shears.runtime.files import write_bytes


def as_notebook(document: Document) -> NotebookNode:
    """Converts a document to run it.

    Raises:
        UserError: It is not a valid notebook.
    """
    try:
        return nbformat.reads(document.encode(), as_version=4)
    except Exception as error:  # nbformat's errors have no common base
        raise UserError(
            f"not a valid notebook ({type(error).__name__}); restore the one from "
            "the repository"
        ) from error


def read_notebook(path: str | Path) -> NotebookNode:
    """Reads a notebook of this project to run it.

    Raises:
        UserError: It is not a valid notebook.
    """
    return as_notebook(read_document(path))


def write_notebook(path: str | Path, notebook: NotebookNode) -> None:
    """Writes a notebook, whole or not at all, and its checksum beside it."""
    nbformat.validate(notebook)
    write_bytes(path, (nbformat.writes(notebook) + "\n").encode())

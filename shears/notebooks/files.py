"""Reads and writes notebooks, and makes copies that need nothing of this project."""

import ast
import copy
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from shears.runtime.errors import UserError
from shears.runtime.files import write_bytes

PACKAGE = "shears"
TENSORFLOW = f"{PACKAGE}.runtime.backend"  # its `tf` is TensorFlow itself


def read_notebook(path: str | Path) -> NotebookNode:
    """Reads a notebook.

    Raises:
        UserError: The file is not a notebook.
    """
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat's errors have no common base
        raise UserError(
            f"{path}: not a Jupyter notebook ({type(error).__name__}); restore "
            "the one from the repository"
        ) from error


def write_notebook(path: str | Path, notebook: NotebookNode) -> None:
    """Writes a notebook, whole or not at all, and its checksum beside it."""
    nbformat.validate(notebook)
    write_bytes(path, (nbformat.writes(notebook) + "\n").encode())


def _module_of(source: str) -> str | None:
    """Returns the module of the package that a cell imports from, if any."""
    names = {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        and node.module
        and node.module.split(".")[0] == PACKAGE
    }
    if len(names) > 1:
        raise ValueError(f"a cell imports from {sorted(names)}: expected one module")
    return names.pop() if names else None


def _standalone(source: str, module: str) -> str:
    """Replaces the package's import of TensorFlow by TensorFlow's own."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module == TENSORFLOW:
            lines[node.lineno - 1 : node.end_lineno] = ["import tensorflow as tf"]
    text = "\n".join(lines)
    if other := _module_of(text):
        raise ValueError(f"{module} imports {other}: a copy of it cannot stand alone")
    return text


def self_contained(notebook: NotebookNode, root: str | Path) -> NotebookNode:
    """Copies a notebook, with the code itself in place of imports from this project.

    Args:
        notebook: A cell of it that imports from `shears` must do nothing else.
        root: The folder the package is in.

    Raises:
        ValueError: A module that it imports from needs other modules of the project.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        module = _module_of(cell.source) if cell.cell_type == "code" else None
        if module:
            path = Path(root, *module.split(".")).with_suffix(".py")
            cell.source = _standalone(path.read_text().strip(), module)
    return notebook

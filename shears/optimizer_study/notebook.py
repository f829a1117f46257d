"""Part A's notebook: a copy that needs nothing of this project, and running it."""

import ast
import copy
import os
import subprocess
import tempfile
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from shears.runtime.errors import UserError
from shears.runtime.files import write_bytes

PACKAGE = "shears"
TENSORFLOW = f"{PACKAGE}.runtime.backend"  # `import tf`: TensorFlow itself


def read_notebook(path: str | Path) -> NotebookNode:
    """Reads a notebook.

    Raises:
        UserError: It is not one.
    """
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # nbformat has no common base for what it raises
        raise UserError(
            f"{path}: not a Jupyter notebook ({type(error).__name__}); take the one "
            "from the repository"
        ) from error


def _module_of(source: str) -> str | None:
    """Names the module of the package that a cell imports from, if it does."""
    names = {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").split(".")[0] == PACKAGE
    }
    if len(names) > 1:
        raise ValueError(f"a cell imports from {sorted(names)}: expected one module")
    return names.pop() if names else None


def _standing_alone(source: str, module: str) -> str:
    """Puts TensorFlow's own import in the place of the package's."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and node.module == TENSORFLOW:
            lines[node.lineno - 1 : node.end_lineno] = ["import tensorflow as tf"]
    text = "\n".join(lines)
    if left := _module_of(text):
        raise ValueError(f"{module} imports {left}: a copy of it cannot stand alone")
    return text


def self_contained(notebook: NotebookNode, root: str | Path) -> NotebookNode:
    """Copies a notebook with the code itself where it imports from this project.

    Args:
        notebook: Each of its cells that imports from `shears` does nothing else.
        root: The folder the package is in.

    Raises:
        ValueError: A module it imports from needs others of the project.
    """
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:
        module = _module_of(cell.source) if cell.cell_type == "code" else None
        if module:
            path = Path(root, *module.split(".")).with_suffix(".py")
            cell.source = _standing_alone(path.read_text().strip(), module)
    return notebook


def execute(notebook: NotebookNode) -> NotebookNode:
    """Runs all cells in a new process, where this project cannot be imported.

    Args:
        notebook: Left as it is.

    Returns:
        The notebook with its outputs; what goes to standard error (TensorFlow's notes)
        is left out, and so are times, so that the same machine makes the same bytes.

    Raises:
        UserError: A cell failed, or the kernel died.
    """
    notebook = copy.deepcopy(notebook)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            # Sockets in its own folder: to a port anybody on the machine could talk.
            km=AsyncKernelManager(transport="ipc", ip=f"{folder}/kernel"),
            timeout=600,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # No settings, history or kernels of the user's take part.
            "IPYTHONDIR": folder,
            "JUPYTER_NO_CONFIG": "1",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        }
        try:
            client.execute(env=environment, stderr=subprocess.DEVNULL)
        except CellExecutionError as error:
            raise UserError(
                f"the notebook fails: {error.ename}: {error.evalue}; its cells are in "
                "notebooks/assignment_notebook.ipynb"
            ) from error
        except DeadKernelError as error:
            raise UserError(
                "the notebook's process was killed, most often for want of memory; "
                "end other programs and run again"
            ) from error
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    return notebook


def write_notebook(path: str | Path, notebook: NotebookNode) -> None:
    """Writes a notebook, whole or not at all, and its checksum beside it."""
    nbformat.validate(notebook)
    write_bytes(path, (nbformat.writes(notebook) + "\n").encode())

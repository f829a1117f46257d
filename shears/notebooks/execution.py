"""Runs a notebook in a process of its own."""

import copy
import os
import subprocess
import tempfile
from collections.abc import Mapping

from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode

from shears.runtime.errors import UserError


def execute(
    notebook: NotebookNode,
    *,
    source: str = "notebooks/assignment_notebook.ipynb",
    variables: Mapping[str, str] | None = None,
) -> NotebookNode:
    """Runs all cells in a new process that cannot import this project.

    Args:
        notebook: Not changed.
        source: The file that its cells come from, for the error.
        variables: Environment variables that it is given.

    Returns:
        The notebook with its outputs, but without standard error (TensorFlow's notes)
        and times, so that the same machine produces the same bytes.

    Raises:
        UserError: A cell failed, or the kernel died.
    """
    notebook = copy.deepcopy(notebook)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(
            notebook,
            # Sockets in a private folder: anybody on the machine could use a port.
            km=AsyncKernelManager(transport="ipc", ip=f"{folder}/kernel"),
            timeout=600,
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        environment = {
            **{k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
            "TF_CPP_MIN_LOG_LEVEL": "3",
            # Ignore the user's settings, history and kernels.
            "IPYTHONDIR": folder,
            "JUPYTER_NO_CONFIG": "1",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            **(variables or {}),
        }
        try:
            client.execute(env=environment, stderr=subprocess.DEVNULL)
        except CellExecutionError as error:
            raise UserError(
                f"the notebook fails: {error.ename}: {error.evalue}; its cells are in "
                f"{source}"
            ) from error
        except DeadKernelError as error:
            raise UserError(
                "the notebook's process was killed, most often for lack of memory; "
                "close other programs and run again"
            ) from error
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    return notebook

"""Finds the project code that a script's result depends on, and hashes it."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "shears"


@cache
def _imported(source: bytes) -> set[str]:
    """Returns every name in the package that the code may import as a module."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == PACKAGE}


def source_files(script: str | Path, root: str | Path) -> list[Path]:
    """Lists a script and the package's modules it imports, directly or through others.

    Args:
        script: The script.
        root: The folder the package `shears` is in.

    Returns:
        Paths, sorted. Other imports are pinned by the environment's lock file.
    """
    files: set[Path] = set()
    queue = [Path(script)]
    while queue:
        path = queue.pop()
        if path in files:
            continue
        files.add(path)
        for name in _imported(path.read_bytes()):
            parts = name.split(".")
            # Importing a.b runs a/__init__.py too; a.b may also be a name inside a.
            for depth in range(1, len(parts) + 1):
                base = Path(root, *parts[:depth])
                for file in (base / "__init__.py", base.with_suffix(".py")):
                    if file.is_file():
                        queue.append(file)
    return sorted(files)


def _is_text(node: ast.AST) -> bool:
    """Returns whether a statement is a string and nothing else."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


@cache
def _syntax_tree(source: bytes) -> str:
    """Dumps the syntax tree of the code, without its docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        # A string by itself does nothing: the docstring of a function or an attribute.
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [part for part in body if not _is_text(part)]
    return ast.dump(tree)


def code_digest(script: str | Path, root: str | Path) -> str:
    """Computes a checksum of a script's code and of the modules it imports.

    Comments, docstrings and layout do not count, as they change no result.

    Args:
        script: The script.
        root: The folder the package `shears` is in.

    Returns:
        sha256 in hexadecimal; it changes with Python versions that change the tree.
    """
    digest = hashlib.sha256()
    for path in source_files(script, root):
        name = path.relative_to(root).as_posix()
        digest.update(f"{name}\n{_syntax_tree(path.read_bytes())}\n".encode())
    return digest.hexdigest()

"""Which of the project's own code a script's result depends on."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "shears"


@cache
def _imported(source: bytes) -> set[str]:
    """Names every module of the package that the code may import."""
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
        Paths, sorted. Imports of anything else are left to the environment's lock.
    """
    found: set[Path] = set()
    queue = [Path(script)]
    while queue:
        path = queue.pop()
        if path in found:
            continue
        found.add(path)
        for name in _imported(path.read_bytes()):
            parts = name.split(".")
            # Importing a.b runs a/__init__.py too; a.b may also be a name inside a.
            for depth in range(1, len(parts) + 1):
                place = Path(root, *parts[:depth])
                for file in (place / "__init__.py", place.with_suffix(".py")):
                    if file.is_file():
                        queue.append(file)
    return sorted(found)


@cache
def _meaning(source: bytes) -> str:
    """Writes out the syntax tree of the code without its docstrings."""
    tree = ast.parse(source)
    owners = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if (
            isinstance(node, owners)
            and ast.get_docstring(node, clean=False) is not None
        ):
            del node.body[0]
    return ast.dump(tree)


def code_digest(script: str | Path, root: str | Path) -> str:
    """Computes a checksum of what a script does: its code and the modules' behind it.

    Comments, docstrings and layout do not count: they change no result.

    Args:
        script: The script.
        root: The folder the package `shears` is in.

    Returns:
        sha256 in hexadecimal; another one where Python's own syntax tree changes.
    """
    digest = hashlib.sha256()
    for path in source_files(script, root):
        name = path.relative_to(root).as_posix()
        digest.update(f"{name}\n{_meaning(path.read_bytes())}\n".encode())
    return digest.hexdigest()

"""Finds the project code that a script's result depends on, and hashes it."""

import ast
import hashlib
from functools import cache
from pathlib import Path

PACKAGE = "shears"
#: These modules write no result: they word errors, lock folders and keep records.
WITHOUT_RESULTS = {
    f"{PACKAGE}/runtime/{name}.py"
    for name in ("errors", "job_log", "job_record", "lock")
}


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


class _WithoutTexts(ast.NodeTransformer):
    """Replaces every string by an empty one."""

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")


class _WithoutWording(ast.NodeTransformer):
    """Removes what errors and logs say."""

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        return _WithoutTexts().visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        is_error = isinstance(node.func, ast.Name) and node.func.id.endswith("Error")
        if is_error or _is_log_call(node):
            return _WithoutTexts().visit(node)
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if _is_log_call(node.value):
            return None
        return self.generic_visit(node)


def _is_log_call(node: ast.AST) -> bool:
    """Returns whether an expression writes to the module's log."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "log"
    )


@cache
def _syntax_tree(source: bytes) -> str:
    """Dumps the syntax tree of the code, without docstrings and wording."""
    tree = _WithoutWording().visit(ast.parse(source))
    for node in ast.walk(tree):
        # A string by itself does nothing: the docstring of a function or an attribute.
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [part for part in body if not _is_text(part)]
    return ast.dump(tree)


def code_digest(script: str | Path, root: str | Path) -> str:
    """Computes a checksum of a script's code and of the modules it imports.

    Comments, docstrings, layout and the wording of errors and logs do not count, nor do
    the modules that write no result (`WITHOUT_RESULTS`): they change no result. A job
    that copies source code into its result needs that file as an input.

    Args:
        script: The script.
        root: The folder the package `shears` is in.

    Returns:
        sha256 in hexadecimal; it changes with Python versions that change the tree.
    """
    digest = hashlib.sha256()
    for path in source_files(script, root):
        name = path.relative_to(root).as_posix()
        if name in WITHOUT_RESULTS:
            continue
        digest.update(f"{name}\n{_syntax_tree(path.read_bytes())}\n".encode())
    return digest.hexdigest()

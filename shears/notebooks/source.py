"""The Python code of cells: parsed, and copied out of this project's modules."""

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PACKAGE = "shears"
TENSORFLOW = f"{PACKAGE}.runtime.backend"  # its `tf` is TensorFlow itself
#: Lines that begin with % or !, assign such a thing, or ask for help with ?.
MAGIC = re.compile(
    # No two parts may match the same blanks: the time would be their number squared.
    r"^([ \t\f]*(?:\w[\w, \t]*=[ \t]*)?)"
    r"(?:[%!][^\r\n]*|\?{1,2}[^\r\n]+|[\w.*]+\?{1,2}[ \t]*(?=[\r\n]|\Z))",
    re.M,
)
NOTE_TO_TOOLS = re.compile(r"  # (?:type: ignore|noqa)\b.*$", re.M)


def _masked(magic: re.Match[str]) -> str:
    """Returns a statement that is as long as a magic, in bytes."""
    length = len(magic[0].encode()) - len(magic[1])
    return magic[1] + "0".ljust(length)


def parse_cell(source: str) -> ast.Module:
    """Parses a code cell, in which IPython's own lines (`MAGIC`) count as ``0``.

    The others keep their places.

    Raises:
        SyntaxError: The rest is not Python.
    """
    try:
        try:
            return ast.parse(source)
        except SyntaxError:
            return ast.parse(MAGIC.sub(_masked, source))
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or "it is nested too deeply") from None


def in_own_namespace(code: str) -> str:
    """Writes a cell that runs code with global names of its own.

    A notebook may use a builtin's name, such as ``list``, for something else. The code
    finds the notebook's names in the dictionary ``notebook``.
    """
    builtins = '__import__("builtins")'
    return f'{builtins}.exec({code!r}, {{"notebook": {builtins}.globals()}})'


def split_lines(source: str) -> list[str]:
    """Splits where Python's parser counts a line, and keeps the line ends."""
    return re.findall(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", source)


@dataclass(frozen=True)
class _Module:
    """A module's text, and what its global names mean.

    Attributes:
        lines: Of its source.
        definitions: Functions, classes and constants.
        links: Names imported from this project, and the module they are from.
        imports: Names imported from elsewhere, and the module; empty for a module.
    """

    lines: list[str]
    definitions: Mapping[str, ast.stmt]
    links: Mapping[str, str]
    imports: Mapping[str, str]


@cache
def _read_module(path: Path) -> _Module:
    source = NOTE_TO_TOOLS.sub("", path.read_text(encoding="utf-8"))
    definitions: dict[str, ast.stmt] = {}
    links: dict[str, str] = {}
    imports: dict[str, str] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            definitions[node.targets[0].id] = node
        elif isinstance(node, ast.Import):
            imports |= {alias.name: "" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in (alias.name for alias in node.names):
                if node.module.split(".")[0] == PACKAGE:
                    links[name] = node.module
                else:
                    imports[name] = node.module
    return _Module(source.splitlines(), definitions, links, imports)


def _global_names(node: ast.AST, hidden: frozenset[str]) -> Iterator[ast.Name]:
    """Yields the names in a definition that are not arguments of a function in it."""
    if isinstance(node, ast.FunctionDef | ast.Lambda):
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        hidden = hidden | {argument.arg for argument in every}
    if isinstance(node, ast.Name) and node.id not in hidden:
        yield node
    for part in ast.iter_child_nodes(node):
        yield from _global_names(part, hidden)


def private(name: str) -> str:
    """Returns the name that a definition has where it is copied to.

    A notebook's own variables may be called ``adam`` or ``loss``.
    """
    return name if name.startswith("_") else f"_{name}"


def _rename(lines: Sequence[str], node: ast.AST, renamed: Collection[str]) -> list[str]:
    """Makes the global names in a piece of code private."""
    lines = list(lines)
    names = [n for n in _global_names(node, frozenset()) if n.id in renamed]
    for name in sorted(names, key=lambda n: (n.lineno, n.col_offset), reverse=True):
        raw = lines[name.lineno - 1].encode()  # columns are counted in bytes
        end = name.col_offset + len(name.id.encode())
        if raw[name.col_offset : end].decode() != name.id:
            raise ValueError(f"{name.id} cannot be renamed inside an f-string")
        new = raw[: name.col_offset] + private(name.id).encode() + raw[end:]
        lines[name.lineno - 1] = new.decode()
    return lines


def _text(module: _Module, node: ast.stmt, renamed: Collection[str]) -> str:
    """Returns a definition's lines, with the comment above it, renamed."""
    lines = _rename(module.lines, node, renamed)
    first = node.lineno
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        head, name = lines[first - 1], node.name
        lines[first - 1] = re.sub(rf"\b{name}\b", private(name), head, count=1)
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    return "\n".join(lines[first - 1 : node.end_lineno])


class Definitions:
    """Copies definitions of this project, with all they need, into a notebook.

    Each is copied once: what an earlier cell has, a later one uses.

    Attributes:
        root: The folder the package is in.
    """

    def __init__(self, root: str | Path):
        """Starts a notebook that has nothing of this project yet."""
        self.root = Path(root)
        self._copied: set[tuple[str, str]] = set()

    def _module(self, name: str) -> _Module:
        return _read_module(self.root.joinpath(*name.split(".")).with_suffix(".py"))

    def globals_of(self, module: str) -> set[str]:
        """Returns the names that have another name in the copy (see `private`)."""
        table = self._module(module)
        links = {name for name, source in table.links.items() if source != TENSORFLOW}
        return {name for name in {*table.definitions, *links} if name[0] != "_"}

    def copy(self, module: str, names: Collection[str]) -> str:
        """Returns the source of definitions, and of all they need.

        Args:
            module: The module they are in, dotted.
            names: Global names; others (builtins, locals) are ignored.

        Returns:
            Python code that needs ``tf`` and names copied before; empty if nothing is
            left to copy. Definitions are called as `private` says.

        """
        imports: dict[str, set[str]] = {}  # by module, the names
        chosen: dict[str, set[str]] = {}  # by module, the definitions

        def visit(module: str, name: str) -> None:
            table = self._module(module)
            if name in table.links:
                if table.links[name] != TENSORFLOW:
                    visit(table.links[name], name)
            elif name in table.imports:
                imports.setdefault(table.imports[name], set()).add(name)
            elif name in table.definitions and (module, name) not in self._copied:
                self._copied.add((module, name))
                for part in ast.walk(table.definitions[name]):
                    if isinstance(part, ast.Name):
                        visit(module, part.id)
                chosen.setdefault(module, set()).add(name)

        for name in names:
            visit(module, name)
        modules = [f"import {name}" for name in sorted(imports.pop("", []))]
        modules += [
            f"from {source} import {', '.join(sorted(names))}"
            for source, names in sorted(imports.items())
        ]
        parts = ["\n".join(modules)] if modules else []

        def height(source: str) -> int:
            """Counts the modules that are copied above this one, in a chain."""
            below = set(self._module(source).links.values()) & chosen.keys()
            return 1 + max(map(height, below), default=0)

        for source in sorted(chosen, key=height):  # first what others need
            table, renamed = self._module(source), self.globals_of(source)
            parts += [
                _text(table, node, renamed)
                for name, node in table.definitions.items()
                if name in chosen[source]
            ]
        return "\n\n\n".join(parts)

    def rename(self, module: str, source: str) -> str:
        """Makes a module's global names in other code private, as in its copies."""
        renamed = self.globals_of(module)
        return "\n".join(_rename(source.splitlines(), ast.parse(source), renamed))

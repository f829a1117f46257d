"""Fills the open bodies in the course's notebook with our own solution."""

import ast
import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import shears
from shears.notebooks.document import Document, read_document, source_of
from shears.notebooks.source import Definitions, parse_cell, private, split_lines
from shears.optimizer_study.course_notebook import (
    SOLUTIONS,
    Function,
    find_function,
    grade_id,
    graded_cells,
    problems_of,
    signature,
)
from shears.runtime.errors import UserError, brief

MODULE = "shears.optimizer_study.solutions"
OPTIMIZERS = "shears.optimizer_study.optimizers"
ROOT = Path(shears.__file__).parents[1]
STEPS = ("__init__", "calculate_gradient", "apply_gradient")
#: For each solution cell, its functions: the class (None: no class) and the name.
BODIES: dict[str, list[tuple[str | None, str]]] = {
    "LR_MSE": [("Linear", "call"), (None, "loss")],
    **{name: [(name, step) for step in STEPS] for name in SOLUTIONS[1:]},
}
#: Attributes that ``__init__`` must set for the other two to use.
MEMORY = {"AdaGrad": ["accumulator"], "Adam": ["m", "v", "t"]}

Bodies = Mapping[tuple[str | None, str], str]


@dataclass(frozen=True)
class _Edit:
    """New text between two places: line from 1, column in bytes."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str


@cache
def our_functions() -> dict[tuple[str | None, str], tuple[str, str]]:
    """Returns the signature and the body of each function of our solution."""
    source = (ROOT / MODULE.replace(".", "/")).with_suffix(".py").read_text()
    lines = source.splitlines()
    functions = {}
    for node in ast.parse(source).body:
        owner = node.name if isinstance(node, ast.ClassDef) else None
        for part in node.body if isinstance(node, ast.ClassDef) else [node]:
            if isinstance(part, ast.FunctionDef):
                first = _statements(part)[0]
                body = "\n".join(lines[first.lineno - 1 : part.end_lineno])
                functions[owner, part.name] = signature(part), textwrap.dedent(body)
    return functions


def _statements(function: Function) -> list[ast.stmt]:
    """Returns a body without its docstring."""
    body = function.body
    return body[1:] if ast.get_docstring(function, clean=False) is not None else body


def _is_open(statements: list[ast.stmt]) -> bool:
    """Returns whether a body only says that it is to be written."""
    if not statements:
        return True
    if len(statements) > 1:
        return False
    (only,) = statements
    if isinstance(only, ast.Raise):
        error = only.exc.func if isinstance(only.exc, ast.Call) else only.exc
        return isinstance(error, ast.Name) and error.id == "NotImplementedError"
    return isinstance(only, ast.Pass) or ast.unparse(only) == "..."


def _attributes(init: Function) -> dict[str, str]:
    """Finds which attribute keeps each argument, and which others are set."""
    kept: dict[str, str] = {}
    for node in ast.walk(init):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign) and node.value:
            targets = [node.target]
        pairs = [(target, node.value) for target in targets]  # type: ignore[attr-defined]
        for target, value in list(pairs):
            if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
                pairs += zip(target.elts, value.elts, strict=False)
            elif isinstance(target, ast.Tuple):
                pairs += [(part, value) for part in target.elts]
        for target, value in pairs:
            if not isinstance(target, ast.Attribute):
                continue
            kept.setdefault(target.attr, target.attr)
            for name in ast.walk(value):
                if isinstance(name, ast.Name):
                    kept.setdefault(f"argument {name.id}", target.attr)
    return kept


def _body(source: str, names: Mapping[str, str]) -> str:
    """Gives the attributes in a body the names that the notebook gives them."""
    return re.sub(r"\bself\.(\w+)", lambda m: f"self.{names.get(m[1], m[1])}", source)


def _replacement(lines: list[str], function: Function, body: str) -> _Edit:
    """Replaces a body, after its docstring, in the notebook's own indentation."""
    statements = _statements(function)
    first = statements[0] if statements else function.body[0]
    line = lines[first.lineno - 1].encode()
    before = line[: first.col_offset].decode()
    ending = "\r\n" if lines[0].endswith("\r\n") else "\n"
    if before.strip():  # all on the line of its def
        line = lines[function.lineno - 1].encode()
        indent = line[: function.col_offset].decode() + 4 * " "
        head = ending + indent
    else:
        indent, head = before, ""
    text = (ending + indent).join(body.splitlines())
    text = re.sub(r"[ \t]+(?=\r?\n|$)", "", text)
    last = statements[-1] if statements else function.body[-1]
    end = (last.end_lineno or 0, last.end_col_offset or 0)
    if not statements:  # nothing but a docstring
        return _Edit(end, end, ending + indent + text)
    return _Edit((first.lineno, first.col_offset), end, head + text)


def _apply(lines: list[str], edits: list[_Edit]) -> str:
    """Applies edits that do not overlap."""
    lines = list(lines)
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        first, last = edit.start[0] - 1, edit.end[0] - 1
        before = lines[first].encode()[: edit.start[1]].decode()
        after = lines[last].encode()[edit.end[1] :].decode()
        lines[first : last + 1] = split_lines(before + edit.text + after)
    return "".join(lines)


def _top(lines: list[str], tree: ast.Module, names: set[str]) -> int:
    """Returns the line, from 1, where what the classes need goes: above the first."""
    nodes = [
        n
        for n in tree.body
        if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name in names
    ]
    first = min(min([n.lineno, *(d.lineno for d in n.decorator_list)]) for n in nodes)
    while first > 1 and lines[first - 2].startswith("#"):
        first -= 1
    return first


def _fill_cell(
    cell: str, source: str, definitions: Definitions, bodies: Bodies, replace: bool
) -> str:
    """Fills the bodies of one cell."""
    try:
        tree = parse_cell(source)
    except SyntaxError as error:
        raise UserError(
            f"cell {cell}: found code that is not Python "
            f"({brief(error.msg)}, line {error.lineno}), expected the course's"
        ) from None
    lines, edits = split_lines(source), []
    names: dict[str, str] = {}
    needed: dict[str, None] = {}
    for owner, name in BODIES[cell]:
        function = find_function(tree, cell, owner, name)
        where = f"cell {cell}, {owner + '.' if owner else ''}{name}"
        expected, body = our_functions()[owner, name]
        if (actual := signature(function)) != expected:
            raise UserError(
                f"{where}: found the signature {brief(actual)}, expected {expected}"
            )
        statements = _statements(function)
        if name == "__init__" and not _is_open(statements):
            names = _check_init(where, cell, function)
            continue
        if not _is_open(statements) and not replace:
            raise UserError(
                f"{where}: found a body that is already written, expected only raise "
                "NotImplementedError; --replace overwrites it"
            )
        body = bodies.get((owner, name), body)
        needed |= {
            part.id: None
            for part in ast.walk(ast.parse(body))
            if isinstance(part, ast.Name)
        }
        body = definitions.rename(MODULE, _body(body, names))
        edits.append(_replacement(lines, function, body))
    if copied := definitions.copy(MODULE, list(needed)):
        owners = {owner or name for owner, name in BODIES[cell]}
        place = (_top(lines, tree, owners), 0)
        edits.append(_Edit(place, place, copied + "\n\n\n"))
    filled = _apply(lines, edits)
    try:
        parse_cell(filled)
    except SyntaxError:
        raise UserError(
            f"cell {cell}: found a layout that cannot be filled, expected each body on "
            "lines of its own"
        ) from None
    return filled


def _check_init(where: str, cell: str, init: Function) -> dict[str, str]:
    """Reads which attributes a given ``__init__`` sets; returns settings' names."""
    kept = _attributes(init)
    arguments = [argument.arg for argument in init.args.args[1:]]
    for name in arguments:
        if f"argument {name}" not in kept:
            raise UserError(
                f"{where}: found no attribute that keeps {name}, expected self.{name}"
            )
    for name in MEMORY.get(cell, []):
        if name not in kept:
            raise UserError(f"{where}: found no attribute {name}, expected self.{name}")
    return {name: kept[f"argument {name}"] for name in arguments}


def _imported(source: str) -> list[str]:
    """Returns what a cell imports from our optimizers, if it does nothing else."""
    try:
        body = parse_cell(source).body
    except SyntaxError:
        return []
    if len(body) == 1 and isinstance(body[0], ast.ImportFrom):
        if body[0].module == OPTIMIZERS:
            return [alias.name for alias in body[0].names]
    return []


def fill(document: Document, *, replace: bool = False) -> Document:
    """Fills the course's notebook; nothing is run.

    The code of the five solution cells changes. So do cells that only import our
    optimizers, as in this project's own notebook: the copy has their code. The outputs
    of these cells are removed. All else stays as it is.

    Args:
        document: The notebook; cells are found by their grade id.
        replace: Whether bodies that are already written are overwritten.

    Raises:
        UserError: It is not the course's notebook: cells are missing, there twice or
            not code; a class, function or signature differs; or a body is written.
    """
    if problems := problems_of(document):
        raise UserError(problems[0])
    definitions, sources = Definitions(ROOT), {}
    for number, cell in enumerate(document.cells):
        source, name = source_of(cell), grade_id(cell)
        if name in SOLUTIONS:
            sources[number] = _fill_cell(name, source, definitions, {}, replace)
        elif cell["cell_type"] == "code" and (names := _imported(source)):
            copied = definitions.copy(OPTIMIZERS, names)
            public = [f"{name} = {private(name)}" for name in names]
            sources[number] = "\n\n\n".join([copied, "\n".join(public)]).strip()
    return document.with_sources(sources)


def fill_file(path: str | Path, *, replace: bool = False) -> Document:
    """Reads a notebook and fills it.

    Raises:
        UserError: It cannot be read or filled; the error names the file.
    """
    document = read_document(path)
    try:
        return fill(document, replace=replace)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def fill_wrongly(document: Document, bodies: Bodies) -> Document:
    """Overwrites the solution cells that are there with our solution, but for bodies.

    Args:
        document: A notebook that may lack cells.
        bodies: The other bodies, by class (None: a function) and function.

    Raises:
        UserError: A class, function or signature differs from the course's.
    """
    definitions, sources = Definitions(ROOT), {}
    cells = sorted((n[0], name) for name, n in graded_cells(document).items() if n)
    for number, name in cells:
        if name in SOLUTIONS:
            source = source_of(document.cells[number])
            sources[number] = _fill_cell(name, source, definitions, bodies, True)
    return document.with_sources(sources)

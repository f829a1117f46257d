"""Fills the open bodies in the course's notebook with our own solution."""

import ast
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import shears
from shears.notebooks.document import Document, read_document, source_of
from shears.notebooks.source import Definitions, parse_cell, private, split_lines
from shears.optimizer_study.course_notebook import (
    OPTIMIZERS,
    SOLUTIONS,
    Function,
    find_function,
    grade_id,
    graded_cells,
    problems_of,
    signature,
    source_by_id,
)
from shears.runtime.errors import UserError, brief

MODULE = "shears.optimizer_study.solutions"
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
    module = (ROOT / MODULE.replace(".", "/")).with_suffix(".py")
    source = module.read_text(encoding="utf-8")
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
    ellipsis = isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)
    return isinstance(only, ast.Pass) or (ellipsis and only.value.value is ...)  # type: ignore[attr-defined]


def _assignments(init: Function) -> Iterator[tuple[str, ast.expr]]:
    """Yields what ``__init__`` assigns to attributes of ``self``, in order."""
    pairs: list[tuple[ast.expr, ast.expr]] = []
    for node in ast.walk(init):
        if isinstance(node, ast.Assign):
            pairs += [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.AnnAssign) and node.value:
            pairs.append((node.target, node.value))
    for target, value in pairs:  # grows while tuples are taken apart
        if isinstance(target, ast.Tuple | ast.List):
            same = isinstance(value, ast.Tuple | ast.List)
            values = value.elts if same else [value] * len(target.elts)  # type: ignore[attr-defined]
            pairs += zip(target.elts, values, strict=False)
    for target, value in sorted(pairs, key=lambda p: (p[0].lineno, p[0].col_offset)):
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            if target.value.id == "self":
                yield target.attr, value


def _attribute_of(argument: str, init: Function) -> str | None:
    """Finds the attribute that keeps an argument: as it is, or else in some form."""
    found = []
    for attribute, value in _assignments(init):
        names = {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}
        if argument in names:
            exact = isinstance(value, ast.Name)
            found.append((not exact, attribute != argument, attribute))
    return min(found, key=lambda f: f[:2])[2] if found else None


def _body(source: str, names: Mapping[str, str]) -> str:
    """Gives the attributes in a body the names that the notebook gives them."""
    return re.sub(r"\bself\.(\w+)", lambda m: f"self.{names.get(m[1], m[1])}", source)


def _line_end(lines: list[str]) -> str:
    """Returns the end that a cell's lines have."""
    first = lines[0] if lines else ""
    return next((end for end in ("\r\n", "\r") if first.endswith(end)), "\n")


def _replacement(lines: list[str], function: Function, body: str) -> _Edit:
    """Replaces a body, after its docstring, in the notebook's own indentation."""
    statements = _statements(function)
    first = statements[0] if statements else function.body[0]
    line = lines[first.lineno - 1].encode()
    before = line[: first.col_offset].decode()
    ending = _line_end(lines)
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


def _line_above(lines: list[str], tree: ast.Module, names: set[str]) -> int:
    """Returns the line, from 1, where what the classes need goes: above the first."""
    nodes = [
        n
        for n in tree.body
        if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name in names
    ]
    first = min(min([n.lineno, *(d.lineno for d in n.decorator_list)]) for n in nodes)
    before = max((n.end_lineno or 0 for n in tree.body if n.lineno < first), default=0)
    while first - 1 > before and lines[first - 2].startswith("#"):
        first -= 1
    return first


def _fill_cell(
    cell: str, source: str, definitions: Definitions, bodies: Bodies, replace: bool
) -> str:
    """Fills the bodies of one cell."""
    try:
        return _fill_source(cell, source, definitions, bodies, replace)
    except (ValueError, TypeError, MemoryError, RecursionError) as error:
        raise UserError(
            f"cell {cell}: found code that cannot be read ({brief(error)}), expected "
            "the course's"
        ) from None


def _fill_source(
    cell: str, source: str, definitions: Definitions, bodies: Bodies, replace: bool
) -> str:
    try:
        tree = parse_cell(source)
    except SyntaxError as error:
        raise UserError(
            f"cell {cell}: found code that is not Python ({brief(error.msg)}), "
            "expected the course's"
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
    ending = _line_end(lines)
    copied = definitions.copy(MODULE, list(needed)).replace("\n", ending)
    if copied and copied not in source:  # it is there if the cell is filled again
        owners = {owner or name for owner, name in BODIES[cell]}
        place = (_line_above(lines, tree, owners), 0)
        edits.append(_Edit(place, place, copied + 3 * ending))
    filled = _apply(lines, edits)
    try:
        parse_cell(filled)
    except SyntaxError:
        raise UserError(
            f"cell {cell}: found a layout that cannot be filled, expected the course's"
        ) from None
    return filled


def _check_init(where: str, cell: str, init: Function) -> dict[str, str]:
    """Reads which attributes a given ``__init__`` sets; returns settings' names."""
    names = {}
    for argument in (argument.arg for argument in init.args.args[1:]):
        attribute = _attribute_of(argument, init)
        if attribute is None:
            raise UserError(
                f"{where}: found no attribute that keeps {argument}, expected "
                f"self.{argument}"
            )
        names[argument] = attribute
    present = {attribute for attribute, _ in _assignments(init)}
    for name in MEMORY.get(cell, []):
        if name not in present:
            raise UserError(f"{where}: found no attribute {name}, expected self.{name}")
    return names


def _imported(source: str) -> list[str]:
    """Returns what a cell imports from our optimizers, if it does nothing else."""
    try:
        body = parse_cell(source).body
    except SyntaxError:
        return []
    if len(body) == 1 and isinstance(body[0], ast.ImportFrom):
        names = [alias.name for alias in body[0].names if not alias.asname]
        ours = Definitions(ROOT).globals_of(OPTIMIZERS)
        if body[0].module == OPTIMIZERS and len(names) == len(body[0].names):
            return names if set(names) <= ours else []
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


def signature_problems(document: Document) -> list[str]:
    """Lists the functions of the solution cells that are not the course's, by line."""
    problems = []
    for name, source in source_by_id(document).items():
        for owner, function in BODIES.get(name, []):
            try:
                actual = signature(
                    find_function(parse_cell(source), name, owner, function)
                )
                expected = our_functions()[owner, function][0]
                if actual != expected:
                    problems.append(
                        f"cell {name}: found the signature {brief(actual)}, expected "
                        f"{expected}"
                    )
            except UserError as error:
                problems.append(str(error))
            except SyntaxError:  # named already
                pass
    return problems


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
    """Overwrites the solution cells that are there with our solution, but for `bodies`.

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

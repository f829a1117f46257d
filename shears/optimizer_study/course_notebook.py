"""What is known of the course's notebook for Part A: its cells, points and signatures.

It is graded cell by cell with nbgrader. A cell is identified by the ``grade_id`` in its
metadata. Public copies from spring 2020 to 2023 agree on what is listed here.
"""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shears.notebooks.document import Document, source_of
from shears.notebooks.source import parse_cell
from shears.runtime.errors import UserError, brief

#: Points of each test cell. The solution cell has the same name, without ``test_``.
POINTS = {
    "test_LR_MSE": 5,
    "test_GD": 5,
    "test_SGD": 5,
    "test_AdaGrad": 10,
    "test_Adam": 15,
}
SOLUTIONS = tuple(name.removeprefix("test_") for name in POINTS)
GRADE_IDS = tuple(name for pair in zip(SOLUTIONS, POINTS, strict=True) for name in pair)
#: What leads to TensorFlow's own optimizers, which the assignment forbids.
BANNED = {
    "optimizers",
    "Optimizer",
    "optimizer_v1",
    "optimizer_v2",
    "raw_ops",
    "gen_training_ops",
}
#: Calls that look up what an argument names, and the place of that argument.
LOOKUPS = {
    **{"getattr": 1, "getattr_static": 1, "attrgetter": 0, "__getattribute__": 0},
    **{"__import__": 0, "import_module": 0, "eval": 0, "exec": 0, "get": 0},
}
OPTIMIZERS = "shears.optimizer_study.optimizers"  #: our own

Function = ast.FunctionDef | ast.AsyncFunctionDef


def grade_id(cell: Mapping[str, Any]) -> str | None:
    """Returns a cell's grade id, if it has one."""
    metadata = cell.get("metadata")
    entry = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    name = entry.get("grade_id") if isinstance(entry, dict) else None
    return name if isinstance(name, str) else None


def graded_cells(document: Document) -> dict[str, list[int]]:
    """Finds the graded cells: for each id, the numbers of its cells, in order."""
    cells: dict[str, list[int]] = {name: [] for name in GRADE_IDS}
    for number, cell in enumerate(document.cells):
        if (name := grade_id(cell)) in cells:
            cells[name].append(number)
    return cells


def _count(things: Sequence[object]) -> str:
    return str(len(things) or "none")


def problems_of(document: Document) -> list[str]:
    """Lists the graded cells that are missing, there twice or not code, a line each."""
    cells = graded_cells(document)
    if not any(cells.values()):
        return [
            "found no graded cells, expected the course's notebook of Part A: cells "
            f"with the grade ids {', '.join(GRADE_IDS)}"
        ]
    problems = []
    for name, numbers in cells.items():
        if len(numbers) != 1:
            problems.append(f"cell {name}: found {_count(numbers)}, expected one")
        for number in numbers:
            kind = document.cells[number]["cell_type"]
            if kind != "code":
                problems.append(
                    f"cell {name}: found a {brief(kind, 30)} cell, expected a code cell"
                )
    return problems


def find_function(
    tree: ast.Module, cell: str, owner: str | None, name: str
) -> Function:
    """Finds a function, or a method of a class, at the top of a cell's code.

    Args:
        tree: The parsed cell.
        cell: Its grade id, for errors.
        owner: The class, or None.
        name: The function.

    Raises:
        UserError: It is missing or there twice.
    """
    body: list[ast.stmt] = tree.body
    where = f"cell {cell}"
    if owner:
        classes = [n for n in body if isinstance(n, ast.ClassDef) and n.name == owner]
        if len(classes) != 1:
            raise UserError(
                f"{where}: found {_count(classes)}, expected one class {owner}"
            )
        body = classes[0].body
        where += f", class {owner}"
    functions = [n for n in body if isinstance(n, Function) and n.name == name]
    if len(functions) != 1:
        raise UserError(
            f"{where}: found {_count(functions)}, expected one function {name}"
        )
    return functions[0]


def signature(function: Function) -> str:
    """Formats a signature without its annotations, with defaults by their values."""
    args = function.args
    every = [*args.posonlyargs, *args.args]
    defaults = [None] * (len(every) - len(args.defaults)) + list(args.defaults)
    parts = []
    for argument, default in zip(every, defaults, strict=True):
        text = argument.arg
        if default is not None:
            text += f"={_value(default)}"
        parts.append(text)
        if argument in args.posonlyargs[-1:]:
            parts.append("/")
    if args.vararg:
        parts.append(f"*{args.vararg.arg}")
    parts += [f"{a.arg} (by name)" for a in args.kwonlyargs]
    if args.kwarg:
        parts.append(f"**{args.kwarg.arg}")
    kind = "async " if isinstance(function, ast.AsyncFunctionDef) else ""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Name) and decorator.id.endswith("method"):
            kind = f"@{decorator.id} {kind}"
    return f"{kind}{function.name}({', '.join(parts)})"


def _value(default: ast.expr) -> str:
    """Formats a default by its value, so that 1e-7 is 0.0000001."""
    try:
        return repr(ast.literal_eval(default))
    except (ValueError, TypeError, MemoryError, RecursionError):
        return "..."  # whatever it is, it is not the course's


def _lookups(tree: ast.AST) -> list[ast.AST]:
    """Lists the expressions by which something may be looked up by its name.

    If the name of a lookup is computed, but of a dictionary's ``get``, they are all
    expressions. They are, too, if getattr and the like are passed on.
    """
    found: list[ast.AST] = []
    called_by_name = set()
    for node in ast.walk(tree):
        computed = False
        if isinstance(node, ast.Subscript):
            found.append(node.slice)
            of = node.value.func if isinstance(node.value, ast.Call) else node.value
            computed = _last_name(of) in {"vars", "__dict__"}
            computed &= not isinstance(node.slice, ast.Constant)
        elif isinstance(node, ast.Call):
            called_by_name.add(id(node.func))
            called = _last_name(node.func)
            if called in LOOKUPS:
                names = node.args[LOOKUPS[called] :][:1]
                names += [keyword.value for keyword in node.keywords]
                found += names
                computed = called != "get" and not all(
                    isinstance(name, ast.Constant) for name in names
                )
        elif isinstance(node, ast.Name) and node.id in {"getattr", "import_module"}:
            computed = id(node) not in called_by_name  # calls come before their parts
        if computed:
            return [*ast.walk(tree)]
    return found


def _last_name(node: ast.AST) -> str:
    """Returns what an expression calls or looks up, without what it is a part of."""
    return getattr(node, "attr", getattr(node, "id", ""))


def banned_words(source: str) -> set[str]:
    """Finds TensorFlow's own optimizers in what is not Python, but for comments."""
    code = re.sub(
        r'("""|\'\'\').*?\1|#.*?$', "", source, flags=re.DOTALL | re.MULTILINE
    )
    used = re.findall(r"(?:\.|\bimport\s|\bfrom\s)\s*(\w+)|['\"](\w+)['\"]", code)
    words = {word for pair in used for word in pair}
    return {word for word in words if word in BANNED or word.endswith("Optimizer")}


def banned_names(source: str) -> set[str]:
    """Finds TensorFlow's own optimizers in code, in the usual ways to reach them.

    That is an attribute, a variable, an imported name, or a string with such a name
    that is a key or an argument of getattr and the like. Other texts, attributes of
    ``self`` and variables of the code's own do not count.

    Raises:
        SyntaxError: The code cannot be parsed.
    """
    tree = parse_cell(source)
    own = {
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    own |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    lookups = set(map(id, _lookups(tree)))
    lookups -= {id(n.value) for n in ast.walk(tree) if isinstance(n, ast.Expr)}

    def named(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.Attribute):
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                yield node.attr
        elif isinstance(node, ast.Name) and node.id in {"optimizers"} - own:
            yield node.id
        elif isinstance(node, ast.ImportFrom) and node.module != OPTIMIZERS:
            yield from [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) in lookups and re.fullmatch(r"[\w.]+", node.value):
                yield node.value
            elif id(node) in lookups:  # code, for exec
                yield from banned_words(node.value)

    banned = set()
    for node in ast.walk(tree):
        for name in named(node):
            parts = name.split(".")
            if set(parts) & BANNED or any(p.endswith("Optimizer") for p in parts):
                banned.add(name)
    return banned


def source_by_id(document: Document) -> dict[str, str]:
    """Returns the code of each graded cell that is there once."""
    return {
        name: source_of(document.cells[numbers[0]])
        for name, numbers in graded_cells(document).items()
        if len(numbers) == 1
    }

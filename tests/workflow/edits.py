"""Edits of a project: of its configuration, its code and its files' dates."""

import ast
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from snakemake.utils import update_config

from shears.runtime.code_digest import WITHOUT_RESULTS
from tests.unit.optimizer_study.course import write


class Edit(NamedTuple):
    """An edit, and the jobs that a run has after it."""

    what: str
    apply: Callable[[Path], None]
    jobs: Mapping[str, int]


def settings(**changes) -> Callable[[Path], None]:
    """Changes values of the configuration; lists are replaced."""

    def apply(folder: Path) -> None:
        path = folder / "config.yaml"
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        update_config(config, changes)
        path.write_text(yaml.safe_dump(config), encoding="utf-8")

    return apply


def text(name: str, added: str) -> Callable[[Path], None]:
    """Appends text to a file."""

    def apply(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(added)

    return apply


def code(name: str) -> Callable[[Path], None]:
    """Appends a statement to a module or script."""
    return text(name, "\nEDITED = True\n")


def remarks(folder: Path) -> None:
    """Adds a comment and changes the docstring in every module and script."""
    for path in (*folder.glob("shears/**/*.py"), *folder.glob("scripts/*.py")):
        changed = path.read_text(encoding="utf-8").replace(
            '"""', '"""In other words: ', 1
        )
        path.write_text(changed + "\n# a comment\n", encoding="utf-8")


def wordings(tree: ast.AST) -> Iterator[ast.expr]:
    """Finds the texts that errors and log lines are made of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name.endswith("Error") or name.startswith("log."):
                yield from filter(is_text, node.args)


def is_text(node: ast.expr) -> bool:
    """Returns whether an expression is a string in the source."""
    value = getattr(node, "value", None)  # a constant's
    return isinstance(node, ast.JoinedStr) or isinstance(value, str)


def reworded(folder: Path) -> None:
    """Rewords every error and log line, and edits the modules that write no result."""
    for path in (*folder.glob("shears/**/*.py"), *folder.glob("scripts/*.py")):
        lines = path.read_bytes().splitlines(keepends=True)
        ends = {
            (t.end_lineno, t.end_col_offset)
            for t in wordings(ast.parse(path.read_bytes()))
        }
        for line, column in sorted(ends, reverse=True):
            text = lines[line - 1]  # what comes before the closing quote
            lines[line - 1] = text[: column - 1] + b" (reworded)" + text[column - 1 :]
        path.write_bytes(b"".join(lines))
    for name in WITHOUT_RESULTS:
        code(name)(folder)


def touch(folder: Path) -> None:
    """Gives every file of the project a new date."""
    for name in ("Snakefile", "rules", "scripts", "shears", "report", "schemas"):
        path = folder / name
        for file in path.rglob("*") if path.is_dir() else [path]:
            file.touch()


def reordered(folder: Path) -> None:
    """Reorders the configuration's keys and adds a comment."""
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipes = config["recipes"].items()
    config["recipes"] = {
        name: dict(reversed(recipe.items())) for name, recipe in recipes
    }
    content = yaml.safe_dump(dict(reversed(config.items())), sort_keys=False)
    path.write_text(f"# a comment\n{content}", encoding="utf-8")


def own_notebook(folder: Path) -> None:
    """Brings the course's notebook, to fill it."""
    write(folder / "course.ipynb")
    settings(notebook="course.ipynb")(folder)


def imported(folder: Path) -> None:
    """Imports the baseline, from a copy of its own weights, instead of training it."""
    shutil.copyfile(folder / "results/dense/seed_0/weights.h5", folder / "mine.h5")
    path = folder / "config.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["baselines"]["dense"] = {"weights": "mine.h5"}
    path.write_text(yaml.safe_dump(config), encoding="utf-8")


def rounds(*pairs: tuple[float, int]) -> Callable[[Path], None]:
    """Replaces the rounds by (sparsity, epochs)."""
    entries = [{"sparsity": sparsity, "epochs": epochs} for sparsity, epochs in pairs]
    return settings(pruning={"rounds": entries})


def other_pruning(key: str, value: object) -> Callable[[Path], None]:
    """Changes a value of `pruning` so that the configuration stays valid."""
    changes = {"pruning": {key: value}}
    if key == "baseline":
        changes["baselines"] = {value: {"recipe": "strong", "teacher": "strong"}}
    if key in ("mask_of", "shuffled"):  # set on a second method, with lamp's masks
        method = {"mask_of": "lamp", key: value}
        changes = {"methods": {"random": method}, "run": ["lamp", "random"]}
    return settings(**changes)


def other_value(field: FieldInfo, value: object) -> object:
    """Finds another value that a key can have."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return next(v for v in get_args(field.annotation) if v != value)
    if isinstance(value, tuple):
        return [value[0] + 0.1, *value[1:]]
    if isinstance(value, int):
        return value + 1
    return 0.9 * value or 0.01


def other_values(model: type[BaseModel], values: BaseModel) -> dict[str, object]:
    """Finds another value for each key of a class that is passed on to a job."""
    return {
        key: other_value(field, getattr(values, key))
        for key, field in model.model_fields.items()
        if not field.exclude
    }

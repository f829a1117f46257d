"""The order of the packages, and of their tests.

No import runs back up, and none in a circle; each module has its file of tests.
"""

import ast
from pathlib import Path

import pytest

from tests import ROOT

PACKAGE = ROOT / "shears"
# Each may import from itself and from what is listed for it.
BELOW = {
    "runtime": set(),
    "data": {"runtime"},
    "model": {"runtime", "data"},
    "weight_files": {"runtime", "model"},
    "pruning": {"runtime", "model"},
    "training": {"runtime", "data", "model", "pruning", "weight_files"},
    "evaluation": {"runtime", "data", "model", "weight_files"},
    "reporting": {"runtime", "data", "model", "pruning", "weight_files", "evaluation"},
    "inference": {"runtime", "model", "pruning"},
    "notebooks": {"runtime"},
    "optimizer_study": {"runtime", "notebooks"},
    "classroom": {
        "runtime",
        "data",
        "model",
        "weight_files",
        "evaluation",
        "reporting",
        "notebooks",
        "optimizer_study",
    },
    "config": {
        "runtime",
        "data",
        "model",
        "pruning",
        "training",
        "evaluation",
        "inference",
    },
    "forecast": {"model", "training"},
    "methods": {"runtime", "config"},
    "plan_checks": {"runtime", "model", "pruning", "training", "config", "methods"},
    "plan": {
        "runtime",
        "model",
        "pruning",
        "training",
        "config",
        "methods",
        "plan_checks",
    },
    "budget": {"runtime", "training", "config", "forecast", "plan"},
    "notebook_cli": {"runtime", "notebooks", "optimizer_study"},
    "given_files": {"runtime", "data", "weight_files"},
    "inference_cli": {"runtime", "inference", "given_files"},
    "classroom_cli": {"runtime", "classroom", "given_files"},
    "report_cli": {"runtime", "reporting"},
    "autograder_cli": {
        "runtime",
        "data",
        "optimizer_study",
        "classroom",
        "given_files",
    },
    "cli": {
        "runtime",
        "model",
        "weight_files",
        "evaluation",
        "given_files",
        "classroom_cli",
        "autograder_cli",
        "inference_cli",
        "notebook_cli",
        "report_cli",
        "version",
    },
    "__main__": {"runtime", "cli"},
    "version": set(),
    "__init__": set(),
}
MODULES = sorted(PACKAGE.rglob("*.py"))
# Modules that have no file of tests: they hold no code of their own, ...
START = {"__init__.py", "__main__.py"}
# ... or types without behaviour, which are tested where they are used.
ONLY_TYPES = {"inference/settings.py", "pruning/mask_plan.py"}
# Tests of the library as a whole, and of a notebook.
OF_THE_LIBRARY = {
    "notebooks/test_pruning_notebook.py",
    "test_encodings.py",
    "test_layout.py",
    "test_locks.py",
    "test_reference.py",
    "test_test_set.py",
}


def part_of(path: Path) -> str:
    """The package, or the module at the top, that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The modules of the library that a file imports, dotted."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == "shears"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def test_every_part_has_its_place():
    assert {part_of(path) for path in MODULES} == BELOW.keys()


def test_the_order_has_no_circle():
    left = dict(BELOW)
    while left:
        lowest = {name for name, below in left.items() if not below & left.keys()}
        assert lowest, left
        left = {name: below for name, below in left.items() if name not in lowest}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_import_runs_back_up(path):
    parts = {name.split(".")[1] for name in imports(path) if "." in name}
    part = part_of(path)
    assert parts <= BELOW[part] | {part}


def test_no_modules_import_each_other_in_a_circle():
    known = {module_name(path): path for path in MODULES}
    left = {name: imports(path) & known.keys() for name, path in known.items()}
    while left:
        free = {name for name, needed in left.items() if not needed & left.keys()}
        assert free, sorted(left)
        left = {name: needed for name, needed in left.items() if name not in free}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_no_module_is_longer_than_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def names_below(folder: str, pattern: str) -> set[str]:
    """The files below a folder."""
    return {str(p.relative_to(ROOT / folder)) for p in (ROOT / folder).rglob(pattern)}


def mirrors(modules: set[str]) -> set[str]:
    """The files of tests that belong to modules."""
    return {str(Path(m).with_name(f"test_{Path(m).name}")) for m in modules}


def test_every_module_has_a_file_of_tests_and_every_file_of_tests_a_module():
    modules = names_below("shears", "*.py") - ONLY_TYPES
    expected = mirrors({name for name in modules if Path(name).name not in START})
    found = names_below("tests/unit", "test_*.py")
    assert found - expected == OF_THE_LIBRARY  # else: tests of no module
    assert not expected - found  # else: modules without tests


def test_tests_of_tools_mirror_them():
    found = names_below("tests/tools", "test_*.py")
    assert not found - mirrors(names_below("tools", "*.py"))

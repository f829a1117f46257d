"""The assignment's prohibition: no optimizer of TensorFlow's."""

import ast

BANNED = ("optimizers", "Optimizer", "compat")


def banned_names(source: str) -> set[str]:
    """Finds TensorFlow's own optimizers in a syntax tree, however they are reached.

    That is an attribute, an imported name or a string (for getattr and the like) with
    such a name, except where our own are imported.
    """
    banned = set()
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            if node.module != "shears.optimizer_study.optimizers":
                names = [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if "\n" not in node.value else []
        for name in names:
            parts = name.split(".")
            if set(parts) & set(BANNED) or any(p.endswith("Optimizer") for p in parts):
                banned.add(name)
    return banned

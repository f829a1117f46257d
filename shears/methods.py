"""The methods that a configuration runs, each with all of its settings."""

from dataclasses import dataclass

from shears.config import Configuration, MethodSettings
from shears.runtime.errors import UserError, brief, unknown_name

LONGEST_CHAIN = 100  #: methods, each with the masks of the next


@dataclass(frozen=True)
class Method:
    """A method that is run.

    Attributes:
        key: Its name under methods.
        settings: All of its settings: those of ``pruning``, overridden by the method's.
    """

    key: str
    settings: MethodSettings


def find_methods(config: Configuration) -> dict[str, Method]:
    """Lists the methods that are run, each after the one whose masks it uses.

    Returns:
        By the name of the folder. With ``with_recipes`` there is one per recipe
        ("lamp-long").

    Raises:
        UserError: A name is not defined, or methods use each other's masks in a cycle.
    """
    methods: dict[str, Method] = {}

    def add(name: str, where: str, path: tuple[str, ...], recipe: str | None) -> None:
        if name not in config.methods:
            raise unknown_name(where, name, "methods", config.methods)
        if name in path:
            cycle = brief(" -> ".join((*path, name)))
            raise UserError(
                f"methods: {name}: mask_of: found a cycle ({cycle}), expected a method "
                "with masks of its own at the end"
            )
        if len(path) == LONGEST_CHAIN:
            raise UserError(
                f"methods: {path[0]}: mask_of: found a chain of more than "
                f"{LONGEST_CHAIN} methods, expected the one whose masks all of them use"
            )
        settings = config.pruning.changed_by(config.methods[name])
        suffix = f"-{recipe}" if recipe else ""
        if recipe:
            settings = settings.model_copy(update={"recipe": recipe})
        if settings.mask_of:
            where = f"methods: {name}: mask_of"
            add(settings.mask_of, where, (*path, name), recipe)
            source = settings.mask_of + suffix
            settings = settings.model_copy(update={"mask_of": source})
        methods.setdefault(name + suffix, Method(name, settings))

    for i, name in enumerate(config.run):
        for recipe in config.with_recipes or [None]:
            add(name, f"run[{i}]", (), recipe)
    return methods

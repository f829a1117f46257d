"""The configuration of a run, as the workflow sees it."""

from pathlib import Path

import yaml
from snakemake.utils import update_config

from shears.config import Configuration, parse_configuration
from shears.runtime.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def read_configuration(name: str = "") -> Configuration:
    """Reads config.yaml, changed by config/NAME.yaml if a name is given."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    if name:
        path = ROOT / f"config/{name}.yaml"
        changes = yaml.safe_load(path.read_text(encoding="utf-8"))
        update_config(config, changes)
    return parse_configuration(config)


def require(path: Path, remedy: str) -> Path:
    """Makes sure that a file of a finished run exists.

    Raises:
        UserError: It does not.
    """
    if not path.exists():
        raise UserError(f"{path}: not found, expected from a finished run: {remedy}")
    return path

"""The configuration of a run as the workflow sees it."""

from pathlib import Path

import yaml
from snakemake.utils import update_config, validate

from shears.runtime.errors import UserError

ROOT = Path(__file__).resolve().parents[1]


def read_configuration(name: str = "") -> dict:
    """Reads config.yaml, changed by config/NAME.yaml if there is one; every key."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    if name:
        changes = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
        update_config(config, changes)
    validate(config, str(ROOT / "schemas/config.schema.yaml"))
    return config


def require(path: Path, remedy: str) -> Path:
    """Makes sure that a finished run's file is there.

    Raises:
        UserError: It is not.
    """
    if not path.exists():
        raise UserError(f"{path}: not there, expected of a finished run: {remedy}")
    return path

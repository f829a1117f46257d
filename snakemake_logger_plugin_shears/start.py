"""What the profiles do before Snakemake reads anything else."""

import argparse
import os
from pathlib import Path

from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

import snakemake_logger_plugin_shears as plugin
from shears.runtime.errors import plain_errors
from shears.runtime.yaml_files import check_yaml

CACHE = ".snakemake/cache"  #: in place of the home folder's, where that is closed


def prepare(arguments: argparse.Namespace) -> bool:
    """Checks the files of ``--configfile``, and registers the display.

    Snakemake reads these files before the Snakefile, and a value in them that YAML
    cannot hold ends in a traceback or never ends. It finds plugins in installed
    packages only.

    Args:
        arguments: Snakemake's.

    Returns:
        Whether the display is used: not with --verbose, VERBOSE=1, --quiet or -n, nor
        without rich.
    """
    with plain_errors():
        for file in arguments.configfile or ():
            check_yaml(file)
    use_open_cache()
    own = arguments.verbose or arguments.dryrun or arguments.quiet is not None
    if own or arguments.logger or os.environ.get("VERBOSE"):
        return False
    LoggerPluginRegistry().register_plugin(plugin.__name__, plugin)
    return plugin.AVAILABLE


def use_open_cache() -> None:
    """Gives Snakemake another folder for its cache if the home may not be written.

    It makes one there before it reads the workflow, and fails with a traceback.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    # Folders that another user made, with sudo for example, are closed, too.
    place = Path(home, "snakemake/snakemake/source-cache/snakemake-runtime-cache")
    place = place.absolute()
    existing = next(p for p in (place, *place.parents) if os.path.exists(p))
    if home.startswith("~") or not os.access(existing, os.W_OK):
        os.environ["XDG_CACHE_HOME"] = os.path.abspath(CACHE)

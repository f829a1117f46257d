"""What a person sees of a run: a logger plugin of Snakemake's.

It stands beside the library because it knows Snakemake. The profiles register it. It is
not used with --verbose, VERBOSE=1, --quiet or in a dry run, where Snakemake writes what
it always writes. Snakemake's own log in .snakemake/log has everything.
"""

from importlib.util import find_spec

from snakemake_interface_logger_plugins.base import LogHandlerBase

# Snakemake imports all plugins that it finds, and it must also start without rich.
AVAILABLE = find_spec("rich") is not None
LogHandler = LogHandlerBase
if AVAILABLE:
    from snakemake_logger_plugin_shears import handler

    LogHandler = handler.LogHandler  # type: ignore[misc]

__all__ = ["AVAILABLE", "LogHandler"]

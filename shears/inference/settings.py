"""How latency is measured."""

from typing import Annotated

from pydantic import Field

from shears.runtime.settings import Settings


class LatencySettings(Settings):
    """How the latency of the candidates is measured."""

    runs: Annotated[int, Field(ge=0, le=10_000)] = 20
    """Turns of each network in each runtime; 0 leaves the measurement out."""

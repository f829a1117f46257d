"""What a chart is drawn from."""

from shears.reporting import charts


def values(chart: charts.Chart) -> list[dict]:
    """Returns the rows that a chart is drawn from."""
    (spec,) = charts.page_specs(chart)
    (rows,) = spec["datasets"].values()
    return rows

"""Matplotlib's figures as bytes: the same figure gives the same bytes."""

import io

import matplotlib
from matplotlib.figure import Figure

matplotlib.rcParams["svg.hashsalt"] = "shears"


def to_svg(figure: Figure) -> bytes:
    """Draws a figure as SVG."""
    content = io.BytesIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()

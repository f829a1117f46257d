import pytest

from shears.optimizer_study.plots import (
    plot_losses,
    plot_paths,
    plot_sensitivity,
    tabulate,
    to_svg,
    winners,
)
from shears.optimizer_study.study import walk_valley


@pytest.mark.slow
def test_the_table_and_the_winners(cells):
    lines = tabulate(cells)
    assert [line.optimizer for line in lines] == [
        "gradient descent",
        "SGD",
        "AdaGrad, all samples",
        "AdaGrad, one sample",
        "Adam, all samples",
        "Adam, one sample",
    ]
    for line in lines:
        assert line.keras_updates == line.updates
        if line.updates:
            rows = 1 if "one" not in line.optimizer and line.optimizer != "SGD" else 200
            assert line.epochs == line.updates / rows
    (row,) = winners(lines)
    first = min((line for line in lines if line.updates), key=lambda line: line.updates)
    assert row["updates"] == first.optimizer
    assert winners([lines[0]._replace(updates=None)])[0]["updates"] == "nobody"


@pytest.mark.slow
def test_plots_are_the_same_bytes_each_time(cells):
    valley = walk_valley(20)
    for plot, content in (
        (plot_losses, cells),
        (plot_sensitivity, cells),
        (plot_paths, valley),
    ):
        assert to_svg(plot(content)) == to_svg(plot(content))

import pytest

from shears.reporting import charts, network_charts
from tests.unit.reporting.specs import values

STAGES = ("dense", "round 1")
LAYERS = ("conv2d", "dense")


def encodings(chart: charts.Chart, channel: str) -> list[dict]:
    """Lists how each layer of a chart of one part encodes a channel."""
    (spec,) = charts.page_specs(chart)
    layers = [layer["encoding"] for layer in spec["layer"]]
    return [encoding[channel] for encoding in layers if channel in encoding]


def test_densities_keep_the_order_of_layers_and_stages_and_empty_kernels():
    rows = [
        {"layer": layer, "stage": stage, "density": density}
        for layer in reversed(LAYERS)
        for stage, density in zip(reversed(STAGES), (0.0, 0.04), strict=True)
    ]
    chart = network_charts.draw_densities(rows)
    assert values(chart) == rows
    assert {tuple(y["sort"]) for y in encodings(chart, "y")} == {LAYERS[::-1]}
    assert {tuple(x["sort"]) for x in encodings(chart, "x")} == {STAGES[::-1]}
    # The scale is logarithmic: it cannot begin at 0.
    assert encodings(chart, "color")[0]["scale"]["domain"] == [0.04, 1]


def test_each_layer_has_a_histogram_of_its_own():
    rows = [
        {"layer": layer, "stage": stage, "low": -0.1, "high": 0.1, "share": 0.5}
        for layer in LAYERS
        for stage in STAGES
    ]
    chart = network_charts.draw_values(rows)
    for layer, spec in zip(LAYERS, charts.page_specs(chart), strict=True):
        (own,) = spec["datasets"].values()
        assert own == [row for row in rows if row["layer"] == layer]
    assert "dense and round 1" in chart.text


def test_dead_units_are_counted_at_the_end():
    rows = [
        {"layer": layer, "stage": stage, "unit": unit, "dead": dead}
        for layer, counts in zip(LAYERS, ((3, 2), (1, 0)), strict=True)
        for stage, count in zip(STAGES, counts, strict=True)
        for unit, dead in enumerate(unit < count for unit in range(4))
    ]
    chart = network_charts.draw_units(rows)
    assert chart.text.endswith("Dead units at the end: 2 in conv2d, 0 in dense.")
    assert len(chart.parts) == 2


def confusions(matrix: list[list[int]], classes: tuple[str, ...]) -> list[dict]:
    return [
        {"shown": a, "predicted": b, "images": images}
        for a, line in zip(classes, matrix, strict=True)
        for b, images in zip(classes, line, strict=True)
    ]


@pytest.mark.parametrize(
    ("matrix", "most", "error"),
    [
        ([[90, 3, 0], [7, 80, 1], [0, 0, 99]], 7, "cat predicted as bird (test"),
        ([[90, 0, 0], [0, 80, 0], [0, 0, 99]], 1, "(test images: 0)"),
    ],
)
def test_colours_of_confusions_span_the_errors(matrix, most, error):
    classes = ("bird", "cat", "dog")
    rows = confusions(matrix, classes)
    chart = network_charts.draw_confusions(rows, classes)
    assert values(chart) == rows
    assert encodings(chart, "color")[0]["scale"]["domain"] == [0, most]
    assert error in chart.text


def test_classes_are_in_order_of_the_pruned_networks_accuracy():
    accuracies = {"dense": (0.9, 0.8, 0.7), "round 1": (0.5, 0.8, 0.6)}
    rows = [
        {"class": name, "stage": stage, "accuracy": accuracy}
        for stage, numbers in accuracies.items()
        for name, accuracy in zip(("bird", "cat", "dog"), numbers, strict=True)
    ]
    chart = network_charts.draw_classes(rows)
    assert {tuple(y["sort"]) for y in encodings(chart, "y")} == {("cat", "dog", "bird")}
    assert chart.text == (
        "The pruned network is best on cat (80.0%) and worst on bird (50.0%)."
    )

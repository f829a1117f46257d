import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from PIL import Image

from shears.evaluation.analysis import expect_score
from shears.runtime.files import read_json, write_json
from shears.runtime.job_record import write_record
from tests.report_pages import IMAGES, candidate, render, write_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_files(folder)
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return render(folder)


class Page(HTMLParser):
    """What a page holds: rows of tables, pictures, addresses and texts."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.images, self.addresses, self.chosen = [], [], [], 0
        self.text = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "tr":
            self.rows.append([])
            self.chosen += attrs.get("class") == "chosen"
        if tag == "img":
            self.images.append(attrs)
        self.addresses += [attrs[k] for k in ("src", "href") if k in attrs]
        self.skips = tag in ("script", "style")

    def handle_endtag(self, tag):
        self.skips = False

    def handle_data(self, data):
        words = " ".join(data.split())
        if words and not self.skips:
            self.text.append(words)
            if self.rows:
                self.rows[-1].append(words)


def test_the_page_shows_each_candidate_and_marks_the_chosen(text):
    page = Page(text)
    row = next(row for row in page.rows if row[:3] == ["lamp", "0", "1"])
    assert row[3:11] == [
        *("0.9500", "0.8200", "0.8100", "0.8800", "0.8100", "0.8800", "2", "1.5")
    ]
    assert page.chosen == 1


def test_the_submission_is_described_at_the_top(text):
    shown = " ".join(Page(text).text)
    top = shown[: shown.index("Candidates", shown.index("sha256"))]
    assert "lamp, seed 0, round 1 keeps 62,543 of 1,250,858 weights" in top
    assert "81.00 % of 40 test images correctly: its score is 0.8800" in top
    validation = candidate("lamp/seed_0/round_1", 0.81, 0.95).validation
    expected = expect_score(validation, IMAGES)
    for part in (
        "Hand in lamp, seed 0, round 1",
        f"expected test score {expected['expected']:.4f}",
        f"95 % between {expected['low']:.4f} and {expected['high']:.4f}",
        f"missed with probability {expected['miss']:.2g}",
        "1,188,315 of 1,250,858 weights are zero",
        f"margin over 0.65 {expected['accuracy_margin']:+.4f}",
        "123 kB my_model_weights.h5",
        "ab" * 32,
    ):
        assert part in top, part


def test_the_page_needs_no_other_file(text):
    page = Page(text)
    assert page.images
    assert all(a.startswith(("data:", "#")) for a in page.addresses)
    assert "url(http" not in text
    assert len(text) < 5_000_000


def test_the_picture_and_the_result_come_first_then_the_frontier_and_the_choice(text):
    places = [
        text.index(part)
        for part in (
            "<h1>Score report</h1>",
            'class="result"',
            'id="network"',
            '<figure id="frontier"',
            'class="summary"',
            'id="candidates"',
            '<figure id="scores"',
        )
    ]
    assert places == sorted(places)


def test_every_table_but_the_shortest_is_folded(text):
    body = text[text.index("<main") : text.index("</main>")]
    folds = re.findall(r"<details.*?</details>", body, re.S)
    tables = [fold for fold in folds if "<table" in fold]
    assert len(tables) == body.count("<table") == 3
    assert not any(fold.startswith("<details open") for fold in tables)


def test_the_picture_shows_the_chosen_network_without_javascript(text):
    part = text[text.index('id="network"') : text.index('id="network-data"')]
    assert part.count("<title>") == part.count('<path d="M') == 6
    assert "<output>round 1: " in part
    assert '<p class="slider" hidden>' in part
    assert 'max="1" value="1"' in part


def test_pictures_have_alternative_texts(text):
    assert all(image["alt"] for image in Page(text).images)


def test_the_images_that_pruning_made_wrong_are_shown(text):
    page = Page(text)
    assert any(
        "3 were classified correctly by dense and wrongly by round 1, 0 the other way "
        "round, and 0 wrongly by both" in part
        for part in page.text
    )
    assert "bird, now predicted as truck" in page.text
    assert [i["alt"] for i in page.images if "test image" in i["alt"]] == [
        f"test image {i}: {name}"
        for i, name in enumerate(("airplane", "automobile", "bird"))
    ]


def test_the_stages_are_drawn_with_their_times_if_there_are_records(
    folder, without_files
):
    assert "Stages and their time" not in render(folder)
    inputs = []
    for rule in ("train", "choose"):
        output = folder / f"{rule}.json"
        output.write_text("{}", encoding="utf-8")
        write_record(rule, [], inputs, [str(output)])
        inputs = [str(output)]
    text = render(folder)
    assert "<title>Stages of the run: train, 10.5 min in 2 jobs; choose, 0 s" in text
    for path in folder.glob(".*.job.json"):
        path.unlink()


def test_the_configuration_and_the_command_are_shown(text):
    assert "snakemake --cores all --config &#39;seeds=[0]&#39;" in text
    shown = re.search(
        r"Configuration</summary>\s*<pre.*?<code>(.*?)</code>", text, re.S
    )
    assert yaml.safe_load(shown[1]) == {"seeds": [0]}


def test_several_seeds_are_averaged(text, folder):
    assert "Means over seeds" not in text
    more = [candidate("lamp/seed_1/round_1", 0.83, 0.95, folder)]
    page = Page(render(folder, more=more))
    row = next(row for row in page.rows if row[:3] == ["lamp", "1", "2"])
    assert row[3:9] == ["0.9500", "0.8200", "0.8200", "0.0141", "0.8850", "0.0071"]


def test_every_chart_is_also_a_file(text, folder):
    named = set(re.findall(r'<figure id="(\w+)"', text))
    files = {path.name for path in (folder / "figures").iterdir()}
    assert files >= {f"{name}.{kind}" for name in named for kind in ("svg", "png")}
    assert len(named) == 10
    assert (
        (folder / "figures/scores.svg").read_text(encoding="utf-8").startswith("<svg")
    )
    with Image.open(folder / "figures/frontier.png") as picture:
        assert min(picture.size) > 500
    with Image.open(folder / "figures/filters_after.png") as picture:
        pixels = np.asarray(picture)
    grey = (pixels == 128).all(-1).mean()  # weights that are zero
    assert grey > 0.5


@pytest.fixture
def without_files(monkeypatch):
    """Draws the charts in the page alone, which is faster."""
    monkeypatch.setattr(
        "shears.reporting.charts.save_chart", lambda chart, *paths: None
    )


def test_latency_has_a_section_if_it_was_measured(text):
    page = Page(text)
    row = next(row for row in page.rows if row[:2] == ["compact", "C"])
    # 13 contenders: the last one takes 1000 / 13 microseconds.
    times = ["77", "154", "13,000", "26,000"]
    assert row[2:10] == ["5,004", "400", "192", *times, "12 %"]
    models = ["Keras predict", "tf.function", "ONNX Runtime", "LiteRT"]
    assert [row[1] for row in page.rows if row[:1] == ["pruned"]] == models
    shown = " ".join(page.text)
    for part in (
        "takes 77 microseconds for an image in one thread: 3.2 times as fast as",
        "3.2 times as fast as LiteRT on the dense network and 13 times as fast as "
        "Keras' predict",
        "its logits differ by at most 1e-06 on 10,000 test images. Of 20.7 million "
        "multiply-adds for an image, 5.1 million are with weights that are not zero",
        "100 timed calls each for one image and 20 for larger batches",
        "Images a second are for batches of 256",
        "1000 GFLOP/s",
    ):
        assert part in shown, part
    assert "is missing:" not in shown
    assert '<a href="#latency-section">Latency</a>' in text
    assert specs_of(text)["latency"]


def test_without_latency_nothing_is_said_of_it(folder, without_files):
    text = render(folder, measured=False)
    assert "atency" not in " ".join(Page(text).text)
    assert "latency" not in specs_of(text)


@pytest.mark.parametrize("runtime", ["C", "ONNX Runtime"])
def test_a_missing_runtime_is_named_with_its_reason(folder, without_files, runtime):
    text = render(folder, missing={runtime: "found no <b>package</b>"})
    page = Page(text)
    assert any(
        part.endswith(f"{runtime} is missing: found no <b>package</b>.")
        for part in page.text
    )
    measured = [row[1] for row in page.rows if row[:1] == ["compact"]]
    assert len(measured) == 4 and runtime not in measured
    shown = " ".join(page.text)
    assert ("The pruned network as C code" in shown) == (runtime != "C")


LINE = {
    "data_set": "condition_100",
    "optimizer": "Adam, all samples",
    "learning_rate": 0.3162,
    "updates": 1083,
    "epochs": 1083.0,
    "milliseconds": 2.5,
    "distance": 0.0002,
    "diverged": 3,
    "keras_updates": 1083,
    "difference": 1e-7,
}
LOST = {
    **dict.fromkeys(LINE),
    "data_set": "sparse",
    "optimizer": "SGD",
    "diverged": 13,
    "difference": 0.0,
}
FIRST = {
    "data_set": "condition_100",
    "updates": "Adam, all samples",
    "epochs": "SGD",
    "milliseconds": "nobody",
}


def test_part_a_has_a_section_if_it_was_run(text, folder, tmp_path):
    assert "Part A" not in text
    study = {"table": tmp_path / "table.json"}
    write_json(study["table"], {"lines": [LINE, LOST], "winners": [FIRST]})
    for name in ("losses", "sensitivity", "paths"):
        study[name] = tmp_path / f"{name}.svg"
        study[name].write_text(f"<svg>{name}</svg>", encoding="utf-8")
    page = Page(render(folder, study))
    assert [
        *("condition 100", "Adam, all samples", "0.316", "1,083", "1,083.0", "2.50"),
        *("0.0002", "3", "1,083", "1e-07"),
    ] in page.rows
    lost = next(row for row in page.rows if row[:2] == ["sparse", "SGD"])
    assert lost[2:] == ["all diverge", *["never"] * 3, "13", "never", "0"]
    first = ["condition 100", "Adam, all samples", "SGD", "nobody"]
    assert first in [row[:4] for row in page.rows]
    assert sum(i["src"].startswith("data:image/svg") for i in page.images) == 3


def test_texts_are_escaped_and_refused_candidates_are_named(text):
    assert "&lt;b&gt;cpu&lt;/b&gt;" in text
    assert "<b>cpu</b>" not in text
    assert "<details open><summary>Refused because validation accuracy is" in text
    assert "<p>lamp, seed 0, round 2.</p>" in text


@pytest.mark.parametrize("objective", ["score", "multiply_adds"])
def test_the_reasons_of_the_choice_are_its_own(folder, without_files, objective):
    text = " ".join(Page(render(folder, objective=objective)).text)
    text = " ".join(text.split())
    assert "Refused because validation accuracy is not above 0.7125: 1 of 2" in text
    assert ("optimistic" in text) == (objective == "score")


def test_hundreds_of_candidates_are_grouped_and_fit_a_page(folder, without_files):
    more = [
        candidate(f"{kind}-{recipe}/seed_{seed}/round_{i + 1}", 0.8 - i / 50, 0.9)
        for kind in ("lamp", "erk", "global", "random")
        for recipe in ("finetune", "long", "short")
        for seed in range(10)
        for i in range(4)
    ]
    refused = [one.name for one in more if one.name.startswith("random")]
    text = render(folder, more=more, refused=refused)
    assert len(text) < 10_000_000
    page = Page(text)
    assert f"{len(refused)} of {len(more) + 2}" in text
    assert "<details><summary>Refused" in text  # closed: it would fill the screen
    means = [row for row in page.rows if row[:3] == ["erk-long", "4", "10"]]
    assert len(means) == 1


def specs_of(text: str) -> dict[str, list[dict]]:
    """Reads the charts that a page draws, as Vega-Lite JSON."""
    return json.loads(re.search(r"const specs = (\{.*?\});\n", text, re.S)[1])


def test_confusions_are_counted_by_class(text):
    (spec,) = specs_of(text)["confusions"]
    (rows,) = spec["datasets"].values()
    assert sum(row["images"] for row in rows) == IMAGES
    wrong = [row for row in rows if row["images"] and row["shown"] != row["predicted"]]
    assert [(row["shown"], row["predicted"], row["images"]) for row in wrong] == [
        (name, "truck", 1) for name in ("airplane", "automobile", "bird")
    ]
    assert "The most frequent error: airplane predicted as truck" in text


def test_cuts_are_marked_where_sparsity_rises(text):
    rows = specs_of(text)["histories"][0]["datasets"].values()
    cuts = [x for x in rows if x and "cut_end" in x[0]]
    assert max(cuts, key=len) == [
        {"stage": "dense", "start": 0, "cut_end": 0},
        {"stage": "round 1", "start": 2, "cut_end": 3},
    ]


def test_an_imported_baseline_is_named_and_has_no_epochs(folder):
    about = {"file": "<x>.keras", "layout": "Keras 3 model", "writer": "3.15.1"}
    text = render(folder, imported=about)
    page = Page(text)
    origin = (
        "The baseline dense was imported from <x>.keras (Keras 3 model, written by "
        "Keras 3.15.1), not trained"
    )
    assert f"{origin}." in page.text
    assert any(part.endswith(f"{origin}: it has no curves.") for part in page.text)
    row = next(row for row in page.rows if row[:2] == ["dense", "0"])
    assert row[-1] == "0"  # epochs; no minutes and no speed
    rows = specs_of(text)["histories"][0]["datasets"].values()
    cuts = [x for x in rows if x and "start" in x[0]]
    assert {cut["stage"] for x in cuts for cut in x} == {"round 1"}


def test_a_chosen_imported_baseline_has_no_learning_curves(folder):
    about = {"file": "x.h5", "layout": "Keras 2 model", "writer": "2.2.0"}
    text = render(folder, imported=about, chosen="dense/seed_0")
    assert "histories" not in specs_of(text)
    assert 'id="histories"' not in text
    assert 'id="densities"' in text


@pytest.mark.slow
def test_the_same_input_gives_the_same_bytes(folder):
    def made() -> dict[str, bytes]:
        render(folder)
        return {
            path.name: path.read_bytes()
            for path in [folder / "report.html", *(folder / "figures").iterdir()]
        }

    assert made() == made()


def test_a_refit_says_what_it_may_claim(folder, without_files):
    path = folder / "manifest.json"
    manifest = read_json(path)
    assert "refit" not in render(folder, measured=False)
    try:
        refit = {
            "images": 50_000,
            "validation_images": 5000,
            "candidate_test": {"accuracy": 0.8, "score": 0.8765},
        }
        write_json(path, {**manifest, "refit": refit})
        page = " ".join(render(folder, measured=False).split())
    finally:
        write_json(path, manifest)
    for text in (
        "on 50,000 images. The candidate was chosen by the run that kept 5,000 of",
        "the refit inherits its place",
        "no validation result of its own is shown",
        "those of the chosen candidate, and for the refit an estimate",
        "the chosen candidate has test score 0.8765",
    ):
        assert text in page

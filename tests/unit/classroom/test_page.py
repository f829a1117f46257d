"""The leaderboard's page as a text; tests/browser has it in Chromium."""

import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from shears.classroom.page import draw_class, draw_history, write_page
from shears.reporting.charts import Chart, page_specs
from tests.leaderboards import board, made_up_class, scored, student

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]><img src=x onerror=alert(1)> &amp;",
    "\"' onmouseover='alert(1)",
    "&lt;b&gt; &amp;",
    "{{ 7 * 7 }} {% raw %}",
    '=HYPERLINK("http://a")',
    "line\u2028separator\u2029 \x00 \x1b[31m \r\n\t",
    "\u202eright to left\u202c \u0645\u0631\u062d\u0628\u0627",
    "half of a character \udcff",
    "n" * 200,
    "",
)


DATA = {"rows", "specs", "tables-library", "vega-library"}  # script elements


class Page(HTMLParser):
    """The elements of a page with their attributes' names, its texts and addresses."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.addresses, self.open = [], {}, [], []
        self.shown = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, [name for name, _ in attrs]))
        attrs = dict(attrs)
        self.addresses += [attrs[k] for k in ("src", "href") if k in attrs]
        if tag not in ("meta", "link", "input"):
            self.open.append(attrs.get("id", tag))

    def handle_endtag(self, tag):
        self.open.pop()

    def handle_data(self, data):
        if not self.open:
            return
        place = self.open[-1]
        self.texts[place] = self.texts.get(place, "") + data
        if not {"head", "script"} & set(self.open) and place not in DATA:
            self.shown.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.shown).split())


@pytest.fixture(scope="module")
def render(tmp_path_factory):
    """Returns a function that writes a page without the libraries, and parses it."""
    path = tmp_path_factory.mktemp("page") / "leaderboard.html"
    names = ("style", "vega", "tables", "tables_style")
    empty = dict.fromkeys(names, "")

    def render(content):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("shears.reporting.page.read_libraries", lambda: empty)
            # The charts depend on numbers only; they are tested below.
            patch.setattr("shears.classroom.page.page_specs", lambda chart: [{}])
            write_page(content, path)
        return Page(path.read_bytes().decode())

    return render


def rows_of(page):
    return json.loads(page.texts["rows"])


@pytest.mark.slow
def test_the_page_needs_no_other_file_and_is_small_enough(tmp_path):
    write_page(made_up_class(500), tmp_path / "a.html")
    text = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert len(text.encode()) < 3_000_000
    assert all(a.startswith(("data:", "#")) for a in Page(text).addresses)
    assert "url(http" not in text


def test_the_summary_counts_the_class_and_explains_the_score(render):
    students = [
        scored("Ada", 8400, 1_200_000),
        scored("Bob", 8000, 1_000_000, rank=2),
        scored("Cy", 6000, 1_000_000, rank=3),
        student("Dan", refused="no HDF5 file"),
    ]
    page = render(board(students, anonymous=True))
    for part in (
        "students 4 scored 3 refused 1 show them best score 0.8997 Ada",
        "median score 0.7997",
        "made 2026-11-29 17:05 UTC",
        "Score = (accuracy + sparsity) / 2 when accuracy > 0.65, else 0.",
        "10,000 test images",
        "The names are pseudonyms.",
    ):
        assert part in page.words, part
    assert page.texts["bdi"] == "Ada"


def test_students_are_listed_with_values_not_texts(render):
    ada = scored(
        *("Ada", 8400, 1_200_000),
        time="2026-11-28T23:59:00Z",
        change={"score": 0.0123, "rank": 2, "new": False},
    )
    page = render(board([ada, student("Dan", refused="no <HDF5> file")]))
    first, second = rows_of(page)["students"]
    assert first["rank"] == 1 and first["accuracy"] == 0.84
    assert first["score"] == pytest.approx(ada["score"], abs=1e-7)
    assert first["time"] == 1_795_910_340
    assert first["change"] == [0.0123, 2, False]
    assert first["uploads"] == [
        [1_795_910_340, first["score"], 0.84, first["sparsity"], None]
    ]
    assert second["refused"] == "no <HDF5> file"
    assert second["score"] is None and second["time"] is None


@pytest.mark.parametrize(
    "time, seconds",
    [
        ("1970-01-01T00:01:00Z", 60),
        ("1970-01-01T02:01:00+02:00", 60),
        ("1970-01-01T00:01:00.25", 60),
    ],
)
def test_times_in_any_zone_are_compared_in_utc(render, time, seconds):
    page = render(board([scored("Ada", 8400, 0, time=time)]))
    assert rows_of(page)["students"][0]["time"] == seconds


def test_a_group_of_equal_files_is_on_the_page_once(render):
    names = [f"name {i}" for i in range(300)]
    students = [
        scored(name, 8400, 0, same_weights=[n for n in names if n != name])
        for name in names
    ]
    students[0]["same_mask"] = ["Bob"]
    rows = rows_of(render(board(students)))
    assert rows["groups"] == [sorted(names), ["Bob", "name 0"]]
    assert {one["weights"] for one in rows["students"]} == {0}
    assert [one["mask"] for one in rows["students"][:2]] == [1, None]


def test_a_hint_is_called_a_hint(render):
    page = render(board([scored("A", 8400, 0, same_mask=["B"]), scored("B", 1, 0)]))
    assert "Hints: the same weights, or the same zeros," in page.words
    assert "A hint is no verdict" in page.words
    assert "no verdict" not in render(board([scored("A", 8400, 0)])).words


@pytest.mark.parametrize(
    "students, words",
    [
        ([], "There are no submissions yet."),
        (
            [student("A", refused="x"), student("B")],
            "students 2 scored 0 refused 2 show them best score none median score none",
        ),
        (
            [scored("A", 8400, 0)],
            "students 1 scored 1 refused 0 best score 0.4200 A median score 0.4200",
        ),
        (
            [scored(f"name {i}", 8400, 0) for i in range(12)],
            "refused 0 best score 0.4200 12 students median score 0.4200",
        ),
        (
            [scored("A", 1000, 0), scored("B", 10_000, 1_250_858)],
            "best score 1.0000 B median score 0.5000",
        ),
        (
            [scored("A", 0, 0), scored("B", 0, 0)],
            "best score 0.0000 2 students median score 0.0000",
        ),
    ],
    ids="nobody refused one ties extremes zeros".split(),
)
def test_any_class_has_a_page(render, students, words):
    page = render(board(students))
    assert words in page.words
    assert ("rows" in page.texts) == bool(students)


def test_several_leaders_are_counted(render):
    page = render(board([scored(name, 8400, 0) for name in "ABC"]))
    assert "3 students" in page.words


TEXTS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=200))


@pytest.mark.slow
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(TEXTS, min_size=1, max_size=4), TEXTS)
@example(list(HOSTILE), "</script><!--")
def test_names_and_reasons_of_any_text_add_no_element(render, names, reason):
    def classroom(names, reason):
        return board(
            [
                scored(name, 8400 - i, 0, same_weights=names[:i], rank=i + 1)
                for i, name in enumerate(names)
            ]
            + [student(names[0], refused=reason, file=reason)]
        )

    page = render(classroom(names, reason))
    plain = render(classroom(["name"] * len(names), "reason"))
    assert page.elements == plain.elements

    def valid(text):
        return text.replace("\udcff", "?")

    rows = rows_of(page)["students"]
    assert [one["name"] for one in rows[:-1]] == list(map(valid, names))
    assert rows[-1]["refused"] == valid(reason) or None
    assert page.texts.get("bdi", "") == valid(names[0])
    # Nothing in a script element can end it or begin a comment.
    assert not re.search("[<>&\u2028\u2029]", page.texts["rows"])


def rows_with(key: str, chart: Chart) -> list[dict]:
    """The rows of a chart that have a key."""
    (spec,) = page_specs(chart)
    rows = [row for rows in spec["datasets"].values() for row in rows]
    return [row for row in rows if key in row]


def test_the_line_of_0_65_is_always_in_the_first_chart():
    students = [scored("A", 8400, 1_200_000), scored("B", 8000, 1_100_000)]
    (edge,) = rows_with("least", draw_class("plane", students, 0.65))
    assert edge["least"] == 0.65
    assert rows_with("least", draw_class("near", students, 0.65)) == []


def test_lines_of_equal_score_end_where_scores_are_zero():
    students = [scored("A", 8400, 1_200_000), scored("B", 3000, 0)]
    lines = rows_with("x2", draw_class("plane", students, 0.65))
    assert lines
    assert min(line["y2"] for line in lines) >= 0.65 - 1e-9


def test_the_history_has_a_point_for_each_scored_upload():
    (spec,) = page_specs(draw_history())
    assert spec["data"] == {"name": "uploads"}
    assert spec["encoding"]["y"]["field"] == "score"

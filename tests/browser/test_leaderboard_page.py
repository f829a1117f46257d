"""The leaderboard's page in a real Chromium."""

import pytest

from shears.classroom.page import write_page
from tests.browser.conftest import SIZES, assert_no_barriers
from tests.leaderboards import board, made_up_class, scored, student
from tests.unit.classroom.test_page import HOSTILE

sync_api = pytest.importorskip("playwright.sync_api", reason="make test-browser")
expect = sync_api.expect


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("leaderboards")


@pytest.fixture
def show(open_page, folder):
    """Returns a function that writes a class's page and opens it."""

    def show(content, *look):
        path = folder / f"{len(list(folder.iterdir()))}.html"
        write_page(content, path)
        return open_page(f"file://{path}", *look)

    return show


def cells(page, column: int) -> list[str]:
    return page.locator(f"#table tbody td:nth-child({column})").all_inner_texts()


def names(page) -> list[str]:
    return page.locator("#table .name").all_text_contents()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_from_disk_without_requests_errors_or_barriers(show, size, scheme):
    page = show(made_up_class(60), size, scheme)
    page.locator("#table .name").nth(3).click()
    assert_no_barriers(page, size)


CLASSES = {
    "nobody": [],
    "refused": [student("A", refused="no HDF5 file"), student("B")],
    "one": [scored("A", 8400, 1_000_000)],
    "ties": [scored(f"name {i}", 8400, 1_000_000) for i in range(30)],
    "extremes": [scored("A", 10_000, 1_250_858), scored("B", 0, 0, rank=2)],
}


@pytest.mark.parametrize("kind", CLASSES)
def test_any_class_has_a_page(show, kind):
    page = show(board(CLASSES[kind]), "phone")
    assert_no_barriers(page, "phone")
    assert page.locator("#table tbody tr").count() == min(len(CLASSES[kind]), 25)
    assert not {"undefined", "NaN", "null"} & set(page.inner_text("body").split())


def test_columns_sort_by_value_and_blanks_come_last(show):
    students = [
        scored("b 10", 9000, 1_200_000, time="2026-12-01T00:00:00+02:00"),
        scored("b 9", 8000, 900_000, rank=2, time="2026-11-30T23:00:00Z"),
        scored("a", 7000, 800_000, rank=10),
        student("c", refused="no HDF5 file", time="2026-11-29T23:00:00Z"),
    ]
    changes = [-0.01, 0.0, 0.002, None]
    for one, change in zip(students, changes, strict=True):
        one["change"] = {"score": change, "rank": None, "new": False}
    page = show(board(students))
    orders = {
        "name": (["a", "b 9", "b 10", "c"], ["c", "b 10", "b 9", "a"]),
        "rank": (["b 10", "b 9", "a", "c"], ["a", "b 9", "b 10", "c"]),
        "score": (["b 10", "b 9", "a", "c"], ["a", "b 9", "b 10", "c"]),
        "when (UTC)": (["b 9", "b 10", "c", "a"], ["c", "b 10", "b 9", "a"]),
        "since the last run": (["a", "b 9", "b 10", "c"], ["b 10", "b 9", "a", "c"]),
    }
    for title, (first, second) in orders.items():
        header = page.locator("#table thead th", has_text=title)
        header.click()
        expect(page.locator("#table .name")).to_have_text(first)
        header.get_by_role("button").press("Enter")  # the keyboard turns it round
        expect(page.locator("#table .name")).to_have_text(second)
    assert page.problems == []


def test_changes_have_words_and_signs(show):
    changes = {
        "+0.0123, up 2": (0.0123, 2, False),
        "−0.0100, down 1": (-0.01, -1, False),
        "+0.0001, same rank": (0.0001, 0, False),
        "same score, down 3": (0.0, -3, False),
        "no change": (0.0, 0, False),
        "new": (None, None, True),
        "": (None, None, False),
    }
    page = show(
        board(
            [
                scored(f"{i}", 8400, 0, change={"score": s, "rank": r, "new": new})
                for i, (s, r, new) in enumerate(changes.values())
            ]
        )
    )
    assert cells(page, 7) == list(changes)


def test_refusals_are_whole_and_hints_are_hints(show):
    reason = "found 10 arrays, expected 12: " + "conv2d, dense; " * 30
    others = [f"name {i}" for i in range(20)]
    page = show(
        board(
            [
                scored("Ada", 8400, 0, same_weights=["Bob"], same_mask=["Bob"]),
                scored("Bob", 8400, 0, same_weights=["Ada"], same_mask=["Ada"]),
                scored("Cy", 8300, 0, rank=3, same_mask=others),
                student("Dan", refused=reason),
                student("Eve"),
            ]
        )
    )
    shown = cells(page, 2)
    assert "hint: the same weights as \u2068Bob\u2069" in shown[0]
    assert "zeros" not in shown[0]  # said already
    assert shown[2].endswith("and 17 more")
    assert shown[3] == f"Dan\nrefused: {reason.strip()}"
    assert shown[4] == "Eve\nrefused: no file"
    page.get_by_role("button", name="show them", exact=True).first.click()
    expect(page.locator("#table .name")).to_have_text(["Dan", "Eve"])
    page.get_by_role("button", name="Show them", exact=True).click()
    expect(page.locator("#table .name")).to_have_text(["Ada", "Bob", "Cy"])
    page.locator("#table .name").last.click()
    assert others[-1] in page.inner_text("#hints")  # whole


def test_the_search_finds_names_and_reasons(show):
    content = made_up_class(60)
    content["students"][40]["name"] = name = "Quentin O'Quirk & Søn"
    content["students"][-1]["refused"] = reason = "for a <special> & reason"
    page = show(content)
    page.get_by_label("Search:").fill(name)
    expect(page.locator("#table .name")).to_have_text([name])
    page.get_by_label("Search:").fill("a <special> & reason")
    expect(page.locator("#table .refusal")).to_have_text(["refused: " + reason])
    page.get_by_label("Search:").fill("nobody has this name")
    expect(page.locator("#table tbody")).to_have_text("Nobody matches.")


def test_a_student_is_chosen_by_mouse_keyboard_and_point(show):
    content = made_up_class(40)
    page = show(content)
    chosen = page.locator("#student")
    uploads = page.locator("#uploads tbody tr")
    students = content["students"]
    expect(chosen).to_have_text(students[0]["name"])
    page.locator("#table .name").nth(4).click()
    expect(chosen).to_have_text(students[4]["name"])
    expect(chosen).to_be_focused()
    expect(uploads).to_have_count(len(students[4]["uploads"]))
    expect(uploads.last).to_contain_text("counts")
    expect(page.locator("#table tr.chosen .name")).to_have_text(students[4]["name"])
    page.locator("#table .name").nth(6).press("Enter")
    expect(chosen).to_have_text(students[6]["name"])
    page.locator("#choose").focus()
    page.keyboard.type(students[30]["name"])
    expect(chosen).to_have_text(students[30]["name"])
    point = page.locator("#plane .mark-symbol.role-mark path").first
    point.dispatch_event("click")
    best = page.locator("#plane .mark-symbol.role-mark path").count()
    assert best == sum(one["score"] is not None for one in students)
    expect(chosen).to_have_text(students[0]["name"])
    assert page.problems == []


def test_an_upload_that_was_refused_stands_in_the_history(show):
    refused = dict.fromkeys(("time", "score", "accuracy", "sparsity"))
    ada = scored("Ada", 8400, 0, time="2026-11-28T23:59:00Z")
    ada["uploads"].insert(0, {**refused, "refused": "no HDF5 file"})
    page = show(board([ada]))
    rows = page.locator("#uploads tbody tr")
    expect(rows.first).to_contain_text("refused: no HDF5 file")
    expect(rows.last).to_contain_text("2026-11-28 23:59")
    assert page.locator("#scores svg").count() == 0  # a point is no line


def test_hovering_a_point_names_the_student_and_the_better_half_can_be_shown(show):
    page = show(made_up_class(40))
    points = page.locator("#plane .mark-symbol.role-mark path")
    before = points.count()
    points.first.scroll_into_view_if_needed()
    points.first.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for(timeout=5000)
    assert "student" in tooltip.inner_text() and "score" in tooltip.inner_text()
    page.get_by_label("the better half").check()
    expect(points).not_to_have_count(before)
    assert before // 2 <= points.count() < before
    assert page.problems == []


def test_hostile_names_are_text_everywhere(show):
    students = [
        scored(name, 8400 - i, 900_000, rank=i + 1, same_mask=list(HOSTILE[:i]))
        for i, name in enumerate(HOSTILE)
    ]
    students.append(student(HOSTILE[0], refused=HOSTILE[3], file=HOSTILE[4]))
    page = show(board(students), "phone")
    known = [name.replace("\udcff", "?") or "(no name)" for name in HOSTILE]
    assert names(page) == [*known, known[0]]
    titles = page.locator("#table .name").evaluate_all("all => all.map(n => n.title)")
    assert titles == [*known, known[0]]  # whole
    for i in range(len(students)):
        page.locator("#choose").select_option(str(i))
        width = page.evaluate("document.scrollingElement.scrollWidth")
        assert width <= SIZES["phone"][0]
    points = page.locator("#plane .mark-symbol.role-mark path")
    for i in range(4):
        points.nth(i).hover(force=True)
        page.wait_for_timeout(50)
    for text in HOSTILE[:4]:
        page.get_by_label("Search:").fill(text.split()[0])
        expect(page.locator("#table .name").first).to_be_visible()
    assert page.locator("img, iframe, b").count() == 0
    assert page.title() == "Shears: leaderboard"
    assert_no_barriers(page, "phone")


@pytest.mark.parametrize("count", [500, 5000])
def test_a_large_class_draws_only_one_page_of_rows_and_sorts_all(show, count):
    page = show(made_up_class(count))
    assert page.locator("#table tbody tr").count() == 25
    page.locator("#table thead th", has_text="sparsity").locator(
        ".dt-column-order"
    ).click()
    best = sorted(
        (s["sparsity"] for s in made_up_class(count)["students"] if s["rank"]),
        reverse=True,
    )
    assert page.locator("#table tbody tr").count() == 25
    shown = [float(cell) for cell in cells(page, 5)]
    assert shown == [pytest.approx(value, abs=1e-4) for value in best[:25]]


def test_a_print_of_the_dark_page_is_light(show):
    page = show(made_up_class(40), "desktop", "dark")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert_no_barriers(page, "desktop")


def test_a_print_has_all_rows_and_no_controls(show):
    page = show(made_up_class(60))
    page.emulate_media(media="print")
    expect(page.get_by_label("Search:")).to_be_hidden()
    expect(page.locator("#choose")).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#table tbody tr").count() == 60
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#table tbody tr").count() == 25

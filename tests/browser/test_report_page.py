"""The score report in a real Chromium. `make test-browser` installs what this needs."""

import pytest

from tests.browser.conftest import SIZES, assert_light, assert_no_barriers, put_on_paper
from tests.report_pages import candidate, render, write_files

sync_api = pytest.importorskip("playwright.sync_api", reason="make test-browser")
SCORES = "table#table tbody td:nth-child(9)"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Writes a report on 42 candidates, and returns its address."""
    folder = tmp_path_factory.mktemp("browser")
    write_files(folder)
    more = [
        candidate(f"{name}/seed_{seed}/round_{i + 1}", 0.85 - i / 50, 0.9 + i / 50)
        for name in ("lamp", "global", "erk", "uniform", "random")
        for seed in (1, 2)
        for i in range(4)
    ]
    render(folder, more=more)
    return f"file://{folder}/report.html"


@pytest.fixture
def show(open_page, address):
    """Returns a function that opens the report."""
    return lambda *look: open_page(address, *look)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_from_disk_without_requests_errors_or_barriers(show, size, scheme):
    assert_no_barriers(show(size, scheme), size)


def unfold(page) -> None:
    """Opens every fold."""
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_has_no_barriers_unfolded(show, size, scheme):
    page = show(size, scheme)
    unfold(page)
    assert_no_barriers(page, size)


def test_a_print_of_the_dark_page_is_light_and_fits_the_paper(show):
    page = show("desktop", "dark")
    put_on_paper(page)
    assert_no_barriers(page, "paper")
    assert_light(page)


def squares(page) -> list[int]:
    """Counts the squares of each layer."""
    paths = page.locator("#network path").all()
    return [path.get_attribute("d").count("M") for path in paths]


def test_the_slider_goes_from_dense_to_sparse_by_keyboard_mouse_and_touch(show):
    page = show()
    slider = page.get_by_label("From dense to sparse")
    said = page.locator("#network output")
    sparse = squares(page)
    sync_api.expect(said).to_contain_text("round 1: ")
    slider.press("Home")
    sync_api.expect(said).to_contain_text("dense: ")
    sync_api.expect(slider).to_have_attribute("aria-valuetext", said.inner_text())
    page.wait_for_timeout(600)  # it moves
    dense = squares(page)
    assert dense[0] > sparse[0]
    kept = page.locator("#network .kept").first
    assert kept.inner_text() in page.locator("#network title").first.text_content()
    slider.press("End")
    sync_api.expect(said).to_contain_text("round 1: ")
    page.wait_for_timeout(600)
    assert squares(page) == sparse
    box = slider.bounding_box()
    page.mouse.click(box["x"] + 2, box["y"] + box["height"] / 2)
    sync_api.expect(said).to_contain_text("dense: ")
    assert box["height"] >= 24  # a finger hits it
    assert page.problems == []


def drawn(page) -> list[float]:
    """Reads every number of the squares' paths."""
    read = "all => all.flatMap(p => p.getAttribute('d').match(/[0-9.]+/g).map(Number))"
    return page.locator("#network path").evaluate_all(read)


def test_the_script_draws_the_same_squares_as_the_page(show):
    page = show()
    slider = page.get_by_label("From dense to sparse")
    first = drawn(page)
    for key in ("Home", "End"):
        slider.press(key)
        page.wait_for_timeout(600)
    assert drawn(page) == pytest.approx(first, abs=0.11)


def test_the_picture_needs_no_javascript_and_less_motion_is_respected(
    chromium, address
):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    sync_api.expect(page.locator("#network .slider")).to_be_hidden()
    assert all(squares(page))
    context.close()
    context = chromium.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(address)
    page.wait_for_selector("html[data-ready=yes]")
    sparse = squares(page)
    page.get_by_label("From dense to sparse").press("Home")
    assert squares(page)[0] > sparse[0]  # at once
    context.close()


def numbers(page) -> list[float]:
    """Reads the test scores in the table, from top to bottom."""
    return [float(text) for text in page.locator(SCORES).all_inner_texts()]


def test_the_table_sorts_by_mouse_and_by_keyboard(show):
    page = show()
    unfold(page)
    header = page.locator("#table thead th").nth(8)
    header.click()
    # The header changes before the rows do; wait for both.
    sync_api.expect(header).to_have_attribute("aria-sort", "ascending")
    sync_api.expect(page.locator(SCORES).first).to_have_text("0.4250")
    rising = numbers(page)
    assert rising == sorted(rising)
    header.get_by_role("button").press("Enter")
    sync_api.expect(header).to_have_attribute("aria-sort", "descending")
    sync_api.expect(page.locator(SCORES).first).not_to_have_text("0.4250")
    falling = numbers(page)
    assert falling == sorted(falling, reverse=True)


def test_the_table_filters_and_has_pages(show):
    page = show()
    sync_api.expect(page.locator(SCORES).first).to_be_hidden()
    page.get_by_text("Table of all 42 candidates").click()
    sync_api.expect(page.locator(SCORES)).to_have_count(25)
    page.get_by_label("Filter:").first.fill("uniform")
    methods = page.locator("#table tbody td:first-child")
    sync_api.expect(methods).to_have_text(["uniform"] * 8)
    page.get_by_label("Filter:").first.fill("")
    sync_api.expect(page.locator(SCORES)).to_have_count(25)
    page.get_by_role("link", name="2", exact=True).first.click()
    sync_api.expect(page.locator(SCORES)).to_have_count(17)


def test_hovering_describes_a_candidate(show):
    page = show()
    point = page.locator("#frontier .mark-symbol.role-mark path").last
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    tooltip = page.locator("#vg-tooltip-element.visible")
    tooltip.wait_for(timeout=5000)
    text = tooltip.inner_text()
    assert "candidate" in text
    assert "sparsity" in text


def test_the_frontier_can_show_validation_accuracy(show):
    page = show()
    label = page.locator("#frontier .vega-bindings label", has_text="validation")
    assert page.locator("#frontier input[value=test]").is_checked()
    label.click()
    assert page.locator("#frontier input[value=validation]").is_checked()
    assert page.problems == []


def test_a_print_has_no_controls_no_folds_all_rows_and_the_chosen_network(show):
    page = show()
    page.get_by_label("From dense to sparse").press("Home")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    sync_api.expect(page.get_by_label("Filter:").first).to_be_hidden()
    sync_api.expect(page.locator("#frontier .vega-bindings")).to_be_hidden()
    sync_api.expect(page.locator("#network .slider")).to_be_hidden()
    sync_api.expect(page.locator("#network output")).to_contain_text("round 1: ")
    assert page.locator("details:not([open])").count() == 0
    sync_api.expect(page.locator(SCORES)).to_have_count(42)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    sync_api.expect(page.locator("#network output")).to_contain_text("dense: ")
    sync_api.expect(page.locator(SCORES)).to_have_count(25)
    assert page.locator("details[open] table").count() == 0
    assert page.problems == []

"""The score report in a real Chromium. `make test-browser` installs what this needs."""

import pytest

from tests.browser.conftest import SIZES, assert_no_barriers
from tests.report_pages import candidate, render, write_files

sync_api = pytest.importorskip("playwright.sync_api", reason="make test-browser")
SCORES = "table#table tbody td:nth-child(8)"


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


def numbers(page) -> list[float]:
    """Reads the test scores in the table, from top to bottom."""
    return [float(text) for text in page.locator(SCORES).all_inner_texts()]


def test_the_table_sorts_by_mouse_and_by_keyboard(show):
    page = show()
    header = page.locator("#table thead th").nth(7)
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


def test_a_print_has_no_controls(show):
    page = show()
    page.emulate_media(media="print")
    sync_api.expect(page.get_by_label("Filter:").first).to_be_hidden()
    sync_api.expect(page.locator("#frontier .vega-bindings")).to_be_hidden()

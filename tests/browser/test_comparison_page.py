"""The page of runs beside each other in a real Chromium."""

import pytest

from shears.reporting.comparison import write_comparison
from shears.reporting.runs import read_run
from tests.browser.conftest import SIZES, assert_no_barriers, put_on_paper
from tests.invented_runs import write_run

sync_api = pytest.importorskip("playwright.sync_api", reason="make test-browser")


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        read_run(write_run(folder / name, correct, {"seeds": [correct]}), name)
        for name, correct in (("first", 90), ("second", 88), ("third", 85))
    ]
    write_comparison(runs, folder / "page.html")
    return f"file://{folder}/page.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_from_disk_without_requests_errors_or_barriers(
    open_page, address, size, scheme
):
    page = open_page(address, size, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert_no_barriers(page, size)


def test_a_print_fits_the_paper_and_has_no_folds(open_page, address):
    page = open_page(address, "desktop", "dark")
    put_on_paper(page)
    assert_no_barriers(page, "paper")
    assert page.locator("details:not([open])").count() == 0


def test_each_run_has_a_colour_and_a_frontier(open_page, address):
    page = open_page(address)
    legend = page.locator("#frontier .role-legend-label text").all_text_contents()
    assert legend == ["first", "second", "third"]
    lines = page.locator("#frontier .mark-line.role-mark path")
    assert lines.count() >= 3

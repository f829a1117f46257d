"""The score report in a real Chromium. `make test-browser` installs what this needs."""

import shutil

import pytest

from tests.report_pages import candidate, render, write_files

sync_api = pytest.importorskip("playwright.sync_api", reason="make test-browser")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="there is no Chromium (Debian: apt install chromium)"
)
# There is no sandbox for root. Without the other flags Chromium calls home.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
SIZES = {"phone": (390, 844), "desktop": (1440, 900)}
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


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def show(chromium, address):
    """Returns a function that opens the page and records `page.problems`."""
    contexts = []

    def show(size="desktop", scheme="light"):
        width, height = SIZES[size]
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                message.type in ("error", "warning")
                and page.problems.append(message.text)
            ),
        )
        page.on(
            "request",
            lambda request: (
                request.url.startswith(("data:", "blob:", address))
                or page.problems.append(request.url)
            ),
        )
        page.goto(address)
        page.wait_for_selector("html[data-ready=yes]")
        charts = page.locator(".chart").count()
        page.wait_for_function(
            f"document.querySelectorAll('.chart svg').length == {charts}"
        )
        return page

    yield show
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_it_opens_from_disk_without_requests_errors_or_barriers(show, size, scheme):
    page = show(size, scheme)
    assert page.problems == []
    width = page.evaluate("document.scrollingElement.scrollWidth")
    assert width <= SIZES[size][0]  # nothing sticks out
    violations = axe.Axe().run(page).response["violations"]
    serious = [
        (one["id"], one["nodes"][0]["html"][:200], len(one["nodes"]))
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


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

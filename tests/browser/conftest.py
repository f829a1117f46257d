"""Opens pages in a real Chromium. `make test-browser` installs what this needs."""

import shutil

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
# There is no sandbox for root. Without the other flags Chromium calls home.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()
SIZES = {"phone": (390, 844), "desktop": (1440, 900)}
PAPER = (718, 1046)  # A4 without its margins


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api", reason="make test-browser")
    if not CHROMIUM:
        pytest.skip("there is no Chromium (Debian: apt install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Returns a function that opens a page and records `page.problems`."""
    contexts = []

    def open_page(address, size="desktop", scheme="light"):
        width, height = SIZES[size]
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("dialog", lambda dialog: page.problems.append(dialog.message))
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

    yield open_page
    for context in contexts:
        context.close()


def put_on_paper(page) -> None:
    """Lays a page out as for a print on A4."""
    page.set_viewport_size(dict(zip(("width", "height"), PAPER, strict=True)))
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(300)


def assert_light(page) -> None:
    """Checks that the page is black on white."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert colour == "rgb(255, 255, 255)"


def assert_no_barriers(page, size: str) -> None:
    """Checks what needs no eyes: requests, errors, width, and axe's rules."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    assert page.problems == []
    width = page.evaluate("document.scrollingElement.scrollWidth")
    assert width <= {**SIZES, "paper": PAPER}[size][0]  # nothing sticks out
    violations = axe.Axe().run(page).response["violations"]
    serious = [
        (one["id"], one["nodes"][0]["html"][:200], len(one["nodes"]))
        for one in violations
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []

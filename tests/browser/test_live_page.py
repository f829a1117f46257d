"""The page of a run that trains, in a real Chromium."""

import os
import threading

import pytest

from shears.reporting.live import Watched
from shears.reporting.server import Server
from tests.browser.conftest import SIZES, assert_light, assert_no_barriers, put_on_paper
from tests.invented_runs import begin, finish, history, save_checkpoint, write_run

sync_api = pytest.importorskip("playwright.sync_api", reason="make test-browser")
ROUND = "lamp/seed_0/round_1"


@pytest.fixture
def base(tmp_path):
    dense = finish(tmp_path, "dense/seed_0", 90, 0.0)
    begin(tmp_path, ROUND, [dense], epochs=6)
    save_checkpoint(tmp_path, ROUND, history(2, 0.5))
    return tmp_path


@pytest.fixture
def address(base):
    with Server(Watched(base), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("size", "scheme"), [*zip(SIZES, ("light", "dark"), strict=True)]
)
def test_it_has_no_barriers(open_page, address, size, scheme):
    page = open_page(address, size, scheme)
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert_no_barriers(page, size)


def test_a_print_of_the_dark_page_is_light_and_fits_the_paper(open_page, address):
    page = open_page(address, "desktop", "dark")
    put_on_paper(page)
    assert_no_barriers(page, "paper")
    assert_light(page)


def test_it_changes_when_an_epoch_ends_and_becomes_the_report(open_page, address, base):
    page = open_page(address)
    said = page.locator("#live")
    sync_api.expect(said).to_contain_text("epoch 2 of 6")
    page.get_by_text("Table of 2 networks").click()
    points = page.locator("#curves_0 .mark-symbol.role-mark path")
    before = points.count()
    path = save_checkpoint(base, ROUND, history(3, 0.6))
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 10**9))
    sync_api.expect(said).to_contain_text("epoch 3 of 6", timeout=30_000)
    sync_api.expect(page.locator("details")).to_have_attribute("open", "")
    page.wait_for_function(
        "n => document.querySelectorAll('#curves_0 .mark-symbol.role-mark path').length"
        " > n",
        arg=before,
    )
    path.unlink()
    write_run(base)
    sync_api.expect(page.locator("body")).to_contain_text("the report", timeout=30_000)
    assert page.problems == []


def test_it_says_when_the_server_has_gone(open_page, base):
    with Server(Watched(base), 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        page = open_page(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()
    status = page.locator("#status")
    sync_api.expect(status).to_contain_text("has ended", timeout=30_000)

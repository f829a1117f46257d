"""The downloader against real servers on loopback."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shears.download import copy_archive, download_archive
from shears.errors import UserError

BODY = bytes(range(256)) * 20_000  # 5 MB
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves BODY; `plan` says how many bytes each request in turn gets (None: all)."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if server.status != 200:
            self.send_error(server.status)
            return
        body, start = server.body, 0
        if server.ranges and self.headers.get("Range"):
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                self.send_error(416)
                return
            self.send_response(206)
            end = len(body)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{end}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        length = server.plan.pop(0) if server.plan else None
        self.wfile.write(body[start:][:length])
        self.close_connection = True


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@contextmanager
def serving(*, plan=(), ranges=True, status=200, body=BODY):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.plan, server.ranges, server.status = list(plan), ranges, status
    server.body, server.asked = body, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/a.tar.gz", server
    finally:
        server.shutdown()
        server.server_close()


def fetch(url, target):
    download_archive(target, url=url, sha256=SHA256, wait=0.01)


def test_a_whole_file_arrives(tmp_path):
    with serving() as (url, _):
        fetch(url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_is_resumed_or_begun_anew(tmp_path, ranges):
    with serving(plan=[2_000_000, 1_500_000], ranges=ranges) as (url, server):
        fetch(url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.asked[0] is None
    assert server.asked[1] is not None


def test_an_earlier_attempt_is_resumed(tmp_path):
    (tmp_path / "a.part").write_bytes(BODY[:4_000_000])
    with serving() as (url, server):
        fetch(url, tmp_path / "a")
    assert server.asked == ["bytes=4000000-"]
    assert (tmp_path / "a").read_bytes() == BODY


def test_an_earlier_attempt_that_is_whole_needs_no_server(tmp_path):
    (tmp_path / "a.part").write_bytes(BODY)
    fetch("http://127.0.0.1:9/a.tar.gz", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(BODY), BODY + b"x"])
def test_an_earlier_attempt_that_is_bad_is_begun_anew(tmp_path, left):
    (tmp_path / "a.part").write_bytes(left)
    with serving() as (url, _):
        fetch(url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY


def test_an_error_page_with_status_200_is_refused_and_removed(tmp_path):
    with serving(body=b"<html>busy</html>") as (url, _):
        with pytest.raises(UserError, match="what came has sha256"):
            fetch(url, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_not_found_is_not_tried_again(tmp_path):
    with serving(status=404) as (url, server):
        with pytest.raises(UserError, match="404.*CIFAR10_ARCHIVE"):
            fetch(url, tmp_path / "a")
    assert len(server.asked) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_tried_again_and_again(tmp_path):
    with serving(status=503) as (url, server):
        with pytest.raises(UserError, match="503"):
            fetch(url, tmp_path / "a")
    assert len(server.asked) == 6


def test_no_network(tmp_path):
    with pytest.raises(UserError, match="download failed") as caught:
        fetch("http://127.0.0.1:9/a.tar.gz", tmp_path / "a")
    assert "CIFAR10_ARCHIVE" in str(caught.value)
    assert "Connection refused" in str(caught.value)
    assert len(str(caught.value)) < 200
    assert list(tmp_path.iterdir()) == []


def test_an_archive_at_hand_is_checked_and_copied(good_archive, tmp_path):
    target = tmp_path / "resources/archive.tar.gz"
    copy_archive(good_archive, target)
    assert target.read_bytes() == good_archive.read_bytes()


def test_a_checksum_beside_the_archive_is_honoured(good_archive, tmp_path):
    source = tmp_path / "a.tar.gz"
    source.symlink_to(good_archive)
    found = hashlib.sha256(good_archive.read_bytes()).hexdigest()
    beside = tmp_path / "a.tar.gz.sha256"
    beside.write_text(f"{found.upper()}  a.tar.gz\n")
    copy_archive(source, tmp_path / "copy")
    (tmp_path / "copy").unlink()
    beside.write_text("0" * 64 + "\n")
    with pytest.raises(UserError, match=f"its sha256 is {found}, but a.tar.gz.sha256"):
        copy_archive(source, tmp_path / "copy")
    beside.write_text("not a checksum\n")
    with pytest.raises(UserError, match="no sha256 checksum"):
        copy_archive(source, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_an_archive_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="CIFAR10_ARCHIVE=.*no such file"):
        copy_archive(tmp_path / "none.tar.gz", tmp_path / "copy")


def test_a_damaged_archive_at_hand_is_not_copied(tmp_path):
    (tmp_path / "bad.tar.gz").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="bad.tar.gz: not a whole tar.gz"):
        copy_archive(tmp_path / "bad.tar.gz", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()

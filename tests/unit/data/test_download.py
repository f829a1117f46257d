"""The downloader against real servers on loopback."""

import gzip
import hashlib
import io
import os
import resource
import shlex
import tarfile
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from scripts.download_cifar10 import download_cifar10
from scripts.prepare_dataset import prepare_dataset
from shears.data import cifar10, download
from shears.data.cifar10 import (
    BATCHES,
    BINARY,
    PYTHON_FOLDER,
    read_images,
    write_archive,
)
from shears.data.download import (
    ARCHIVES,
    copy_archive,
    download_archive,
    expected_checksum,
    log_local_archives,
)
from shears.runtime.errors import UserError
from shears.runtime.files import checksum
from tests.conftest import refused
from tests.unit.data.pickled import python_2_batch

BODY = bytes(range(256)) * 20_000  # 5 MB
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Answers each request in turn as the next function of `server.plan` says.

    The last one answers all further requests too.
    """

    def log_message(self, *_):
        pass

    def do_GET(self):
        server = self.server
        server.requested.append(self.headers.get("Range"))
        answer = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        self.close_connection = True
        with suppress(OSError):  # the client has hung up
            answer(self)

    def head(self, status: int = 200, **headers: str | int) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


def whole(to, *, cut=None, body=BODY, ranges=True):
    """Sends the body from the requested byte; `cut` ends it after so many bytes."""
    start = 0
    if ranges and to.headers.get("Range"):
        start = int(to.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if start >= len(body):
            to.send_error(416)
            return
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        to.head(206, Content_Length=len(body) - start, Content_Range=span)
    else:
        to.head(Content_Length=len(body))
    to.wfile.write(body[start:][:cut])


def cut(length: int):
    return partial(whole, cut=length)


def ignores_range(to):
    whole(to, ranges=False)


def status(code: int):
    return lambda to: to.send_error(code)


def redirect(to):
    to.head(302, Location="/elsewhere", Content_Length=0)


def silent(to):
    time.sleep(3)


def stalls(to):
    to.head(Content_Length=len(BODY))
    to.wfile.write(BODY[:100_000])
    time.sleep(3)


def drips(to):
    to.head(Content_Length=len(BODY))
    for _ in range(300):
        to.wfile.write(b"x")
        time.sleep(0.01)


def without_length(to):
    to.head()
    to.wfile.write(BODY)


def cut_without_length(to):
    to.head()
    to.wfile.write(BODY[:1_000_000])


def endless(to):
    to.head()
    for _ in range(1000):
        to.wfile.write(bytes(1 << 20))


def announces_too_much(to):
    to.head(Content_Length=1 << 40)


def error_page(to):
    whole(to, body=b"<html>we are busy</html>", ranges=False)


def another_file(to):
    whole(to, body=BODY[::-1], ranges=False)


def no_http(to):
    to.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")


def hangs_up(to):
    to.connection.shutdown(2)


def wrong_range(to):
    """Resumes from a byte other than the requested one."""
    to.head(206, Content_Length=10, Content_Range="bytes 0-9/5120000")
    to.wfile.write(BODY[:10])


def bad_length(to):
    to.head(Content_Length="many")
    to.wfile.write(BODY)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@contextmanager
def serving(*plan):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads = True
    server.plan, server.requested = list(plan or [whole]), []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/a.tar.gz", server
    finally:
        server.shutdown()
        server.server_close()


def fetch(target, *urls, patience=30):
    """Downloads; `patience` is short only for servers that are silent on purpose."""
    timeout = (patience, patience)
    download_archive(
        target, urls=urls, sha256=SHA256, wait=0.01, timeout=timeout, largest=8 << 20
    )


def patience(*plan):
    return 0.5 if {silent, stalls, drips} & set(plan) else 30


def test_a_whole_file_arrives(tmp_path):
    with serving() as (url, _):
        fetch(tmp_path / "a", url)
    assert (tmp_path / "a").read_bytes() == BODY
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".a.sha256"}


@pytest.mark.slow
def test_the_archive_is_verified_again_when_it_is_read(good_archive, tmp_path):
    body = good_archive.read_bytes()
    changed = io.BytesIO()  # another archive, whole in itself
    images = read_images(good_archive)
    labels = np.roll(images.test.labels, 1)
    write_archive(changed, images._replace(test=images.test._replace(labels=labels)))
    target, dataset = tmp_path / "archive.tar.gz", tmp_path / "dataset.h5"

    def prepare():
        prepare_dataset(
            archive=str(target),
            dataset=str(dataset),
            name="cifar10",
            validation_images=10,
            training_images=10,
            seed=0,
        )

    def from_server():
        with serving(lambda to: whole(to, body=body)) as (url, _):
            sha256 = hashlib.sha256(body).hexdigest()
            download_archive(target, urls=[url], sha256=sha256)

    for fetched in (from_server, lambda: copy_archive(good_archive, target, sha256="")):
        fetched()
        prepare()
        dataset.unlink()
        target.write_bytes(changed.getvalue())
        with refused(target, "damaged (its sha256 is "):
            prepare()
        assert not dataset.exists()


FAULTS = {
    "cut, then resumed": (cut(2_000_000), cut(1_500_000), whole),
    "cut, then started over": (cut(2_000_000), ignores_range),
    "cut, then from another place": (cut(2_000_000), wrong_range, whole),
    "silence": (silent, whole),
    "stalled": (stalls, whole),
    "dripping": (drips, whole),
    "hung up": (hangs_up, whole),
    "no HTTP": (no_http, whole),
    "busy": (status(503), status(500), status(429), whole),
    "redirected": (redirect, whole),
    "no length": (without_length,),
    "an invalid length": (bad_length,),
    # Each attempt brings a megabyte: that is progress, however often it fails.
    "cut nine times": (*[cut(1 << 20) for _ in range(4)], *[silent] * 5, whole),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_that_passes_is_waited_out(tmp_path, kind):
    with serving(*FAULTS[kind]) as (url, _):
        fetch(tmp_path / "a", url, patience=patience(*FAULTS[kind]))
    assert (tmp_path / "a").read_bytes() == BODY
    assert {path.name for path in tmp_path.iterdir()} == {"a", ".a.sha256"}


def test_a_cut_connection_is_resumed_where_it_was_cut(tmp_path):
    with serving(cut(2_000_000), cut(1_500_000), whole) as (url, server):
        fetch(tmp_path / "a", url)
    assert server.requested == [None, "bytes=2000000-", "bytes=3500000-"]


def test_an_earlier_attempt_is_resumed(tmp_path):
    (tmp_path / "a.part").write_bytes(BODY[:4_000_000])
    with serving() as (url, server):
        fetch(tmp_path / "a", url)
    assert server.requested == ["bytes=4000000-"]
    assert (tmp_path / "a").read_bytes() == BODY


def test_an_earlier_attempt_that_is_whole_needs_no_server(tmp_path):
    (tmp_path / "a.part").write_bytes(BODY)
    fetch(tmp_path / "a", "http://127.0.0.1:9/a.tar.gz")
    assert (tmp_path / "a").read_bytes() == BODY


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(BODY), BODY + b"x"])
def test_a_bad_earlier_attempt_is_started_over(tmp_path, left):
    (tmp_path / "a.part").write_bytes(left)
    with serving() as (url, _):
        fetch(tmp_path / "a", url)
    assert (tmp_path / "a").read_bytes() == BODY


BAD = {
    "an error page with status 200": (error_page, "its sha256 is", 1),
    "another file": (another_file, "its sha256 is", 1),
    "cut without a length": (cut_without_length, "its sha256 is", 1),
    "not found": (status(404), "404 Client Error", 1),
    "forbidden": (status(403), "403 Client Error", 1),
    "gone": (status(410), "410 Client Error", 1),
    "busy for ever": (status(503), "503 Server Error", 6),
    "a redirect in a circle": (redirect, "Exceeded 30 redirects", 31),
    "too much": (endless, "sends more than 8,388,608 bytes", 1),
    "too much announced": (announces_too_much, "sends more than 8,388,608 bytes", 1),
    "silence for ever": (silent, "timed out", 6),
    "stalled for ever": (stalls, "timed out", 6),
    "dripping for ever": (drips, "stalled: ", 6),
    "cut at the same place for ever": (
        partial(whole, cut=900_000, ranges=False),
        "900000 bytes read, 4220000 more expected",
        6,
    ),
    "hung up for ever": (hangs_up, "closed connection without response", 6),
    "no HTTP for ever": (no_http, "SSH-2.0", 6),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", BAD)
def test_bad_servers_are_reported_in_two_lines(tmp_path, kind):
    answer, message, requested = BAD[kind]
    with serving(answer) as (url, server):
        with pytest.raises(UserError) as caught:
            fetch(tmp_path / "a", url, patience=patience(answer))
    text = str(caught.value)
    assert f"the download failed ({url}: " in text
    assert message in text
    assert "CIFAR10_ARCHIVE" in text
    assert text.count("\n") == 1
    assert len(text) < 400
    assert len(server.requested) == requested
    assert not (tmp_path / "a").exists()
    assert {path.name for path in tmp_path.iterdir()} <= {"a.part"}  # to resume from


def test_no_network(tmp_path):
    with pytest.raises(UserError, match="download failed.*Connection refused"):
        fetch(tmp_path / "a", "http://127.0.0.1:9/a.tar.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "first", [status(404), status(503), error_page, endless, hangs_up, stalls]
)
def test_mirrors_are_tried_in_order(tmp_path, first):
    with serving(first) as (bad, bads), serving() as (good, goods):
        fetch(tmp_path / "a", bad, good, patience=patience(first))
    assert len(bads.requested) == len(goods.requested) == 1
    assert (tmp_path / "a").read_bytes() == BODY


def test_one_mirror_completes_what_another_sent(tmp_path):
    with serving(cut(3_000_000)) as (first, _), serving() as (second, server):
        fetch(tmp_path / "a", first, second)
    assert server.requested == ["bytes=3000000-"]
    assert (tmp_path / "a").read_bytes() == BODY


def test_two_servers_that_undo_each_others_progress_are_given_up(tmp_path):
    starts_over = partial(whole, cut=3_000_000, ranges=False)
    with serving(starts_over) as (first, _), serving(cut(1_500_000)) as (second, _):
        with pytest.raises(UserError, match="the download failed"):
            fetch(tmp_path / "a", first, second)


def test_an_invalid_address_is_reported(tmp_path):
    with pytest.raises(UserError, match="the download failed .http://a..b/x: "):
        fetch(tmp_path / "a", "http://a..b/x")


def test_a_full_disk_is_not_blamed_on_the_server(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with serving() as (url, server), pytest.raises(OSError, match="File too large"):
            fetch(tmp_path / "a", url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert len(server.requested) == 1


def test_a_local_archive_is_checked_and_copied(good_archive, tmp_path):
    target = tmp_path / "resources/archive.tar.gz"
    copy_archive(good_archive, target, sha256=SHA256)
    assert target.read_bytes() == good_archive.read_bytes()


def test_a_checksum_beside_the_archive_is_honoured(good_archive, tmp_path):
    source = tmp_path / "a.tar.gz"
    source.symlink_to(good_archive)
    actual = hashlib.sha256(good_archive.read_bytes()).hexdigest()
    beside = tmp_path / "a.tar.gz.sha256"
    beside.write_text(f"{actual.upper()}  a.tar.gz\n", encoding="utf-8")
    copy_archive(source, tmp_path / "copy", sha256=SHA256)
    (tmp_path / "copy").unlink()
    beside.write_text("0" * 64 + "\n", encoding="utf-8")
    with pytest.raises(UserError, match=f"its sha256 is {actual}, but a.tar.gz.sha256"):
        copy_archive(source, tmp_path / "copy", sha256=SHA256)
    beside.write_text("not a checksum\n", encoding="utf-8")
    with pytest.raises(UserError, match="no sha256 checksum"):
        copy_archive(source, tmp_path / "copy", sha256=SHA256)
    assert not (tmp_path / "copy").exists()


def test_the_path_of_the_archive_is_expanded(good_archive, tmp_path, monkeypatch):
    target = tmp_path / "copy"
    for name in ("HOME", "PLACE"):
        monkeypatch.setenv(name, str(good_archive.parent))
    for place in ("~", "$PLACE", "${PLACE}"):
        copy_archive(f"{place}/{good_archive.name}", target, sha256=SHA256)
        target.unlink()
    monkeypatch.delenv("PLACE")
    message = "CIFAR10_ARCHIVE: found .PLACE/a, but the environment variable PLACE is"
    with pytest.raises(UserError, match=message):
        copy_archive("$PLACE/a", target, sha256=SHA256)


SUM = "0123456789abcdef" * 4
OTHER = "f" * 64


@pytest.mark.parametrize(
    "text",
    [
        SUM,
        f"{SUM.upper()}\n",
        f"{SUM}  a.tar.gz\n",
        f"{SUM} *a.tar.gz\n",
        f"{SUM}  ./another name.tar.gz\r\n",
        f"\\{SUM}  a\\\\b.tar.gz\n",
        f"SHA256 (a.tar.gz) = {SUM}\n",
        f"SHA2-256(downloads/a.tar.gz)= {SUM}\n",
        f"# of CIFAR-10\n{OTHER}  b.tar.gz\n{SUM}  a.tar.gz\n{'0' * 32}  a.tar.gz\n",
        f"SHA256 (b) = {OTHER}\nSHA256 (x/a.tar.gz) = {SUM}\n",
    ],
)
def test_every_form_of_a_checksum_file_is_read(tmp_path, text):
    archive = tmp_path / "a.tar.gz"
    beside = tmp_path / "a.tar.gz.sha256"
    beside.write_text(text, encoding="utf-8")
    assert expected_checksum(archive) == ("sha256", SUM, beside)


@pytest.mark.parametrize(
    "text",
    [
        "",
        SUM[:-1],
        f"SHA1 (a.tar.gz) = {SUM[:40]}",
        f"{SUM}  b\n{OTHER}  c\n",
        "<html>",
    ],
)
def test_a_checksum_file_without_the_archives_is_refused(tmp_path, text):
    beside = tmp_path / "a.tar.gz.sha256"
    beside.write_text(text, encoding="utf-8")
    with refused(
        beside, "found no sha256 checksum of a.tar.gz (64 hexadecimal digits)"
    ):
        expected_checksum(tmp_path / "a.tar.gz")


def test_lists_of_checksums_beside_the_archive_are_read(tmp_path):
    archive = tmp_path / "a.tar.gz"
    assert expected_checksum(archive) is None
    (tmp_path / "SHA256SUMS").write_text(f"{OTHER}  b.tar.gz\n", encoding="utf-8")
    assert expected_checksum(archive) is None  # a list of other files
    sums = tmp_path / "MD5SUMS"
    sums.write_text(f"MD5 (a.tar.gz) = {SUM[:32]}\n", encoding="utf-8")
    assert expected_checksum(archive) == ("md5", SUM[:32], sums)


def test_checksums_that_differ_are_named_whole_with_the_key(
    good_archive, tmp_path, caplog
):
    source, actual = tmp_path / "a.tar.gz", checksum(good_archive)
    source.symlink_to(good_archive)
    copy_archive(source, tmp_path / "copy", sha256=OTHER)
    assert f"its sha256 is {actual}, expected {OTHER} (data: sha256)" in caplog.text
    (tmp_path / "a.tar.gz.sha256").write_text(
        f"SHA256 (a.tar.gz) = {SUM}", encoding="utf-8"
    )
    message = f"its sha256 is {actual}, but a.tar.gz.sha256 says {SUM}"
    with refused(source, message) as caught:
        copy_archive(source, tmp_path / "copy", sha256=OTHER)
    assert "CIFAR10_ARCHIVE" in str(caught.value)
    with serving() as (url, _), pytest.raises(UserError) as failed:
        download_archive(tmp_path / "b", urls=[url], sha256=OTHER, wait=0)
    message = f"its sha256 is {SHA256}, expected {OTHER} (data: sha256)"
    assert message in str(failed.value)


def test_an_archive_that_the_browser_unpacked_is_packed_again(
    good_archive, tmp_path, caplog
):
    source, target = tmp_path / "cifar-10-binary.tar", tmp_path / "copy.tar.gz"
    source.write_bytes(gzip.decompress(good_archive.read_bytes()))
    caplog.set_level("INFO", "shears")
    copy_archive(source, target, sha256=SHA256)
    assert f"converted {source}" in caplog.text
    with (tmp_path / "expected.tar.gz").open("wb") as file:
        write_archive(file, read_images(good_archive))
    assert target.read_bytes() == (tmp_path / "expected.tar.gz").read_bytes()


def test_a_missing_archive_is_refused(tmp_path):
    with pytest.raises(UserError, match="CIFAR10_ARCHIVE=.*no such file"):
        copy_archive(tmp_path / "none.tar.gz", tmp_path / "copy", sha256=SHA256)


def test_a_python_archive_is_compared_with_the_checksum_beside_it(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(cifar10, "ROWS", 2)
    source = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(source, "w:gz") as archive:
        for i, name in enumerate(BATCHES):
            pixels, labels = np.full((2, 3072), i, np.uint8), np.zeros(2, np.uint8)
            content = python_2_batch(pixels, labels)
            member = tarfile.TarInfo(f"{PYTHON_FOLDER}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    target = tmp_path / "resources/archive.tar.gz"
    copy_archive(source, target, sha256=SHA256)
    assert read_images(target).form is BINARY
    assert "is not the official file and has no checksum file" in caplog.text
    caplog.clear()
    monkeypatch.setattr(download, "PYTHON_MD5", checksum(source, "md5"))
    copy_archive(source, target, sha256=SHA256)
    assert "official" not in caplog.text
    target.unlink()
    Path(f"{source}.md5").write_text("0" * 32, encoding="utf-8")
    with pytest.raises(
        UserError, match="its md5 is .*, but cifar-10-python.tar.gz.md5"
    ):
        copy_archive(source, target, sha256=SHA256)
    assert not target.exists()


def test_what_is_no_copy_is_not_converted(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: found no batches of CIFAR-10"):
        copy_archive(tmp_path / "empty", tmp_path / "copy", sha256=SHA256)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="CIFAR10_ARCHIVE=.*pipe: no regular file"):
        copy_archive(tmp_path / "pipe", tmp_path / "copy", sha256=SHA256)
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "pipe"}


def logged_commands(caplog) -> list[list[str]]:
    """The words of each command that was logged."""
    lines = [record.getMessage() for record in caplog.records]
    return [shlex.split(line[line.index("CIFAR10_ARCHIVE=") :]) for line in lines]


@pytest.mark.parametrize("name", ARCHIVES)
def test_official_archives_on_this_machine_are_logged(
    tmp_path, caplog, name, monkeypatch
):
    caplog.set_level("INFO", "shears")
    monkeypatch.setenv("HOME", str(tmp_path / "my home"))
    cache = tmp_path / "my home/.keras/datasets"
    cache.mkdir(parents=True)
    (cache / name).write_bytes(BODY)
    log_local_archives("0" * 64)
    assert not caplog.records  # its checksum is another
    log_local_archives(SHA256)
    assert logged_commands(caplog) == [[f"CIFAR10_ARCHIVE={cache / name}"]]
    caplog.clear()
    monkeypatch.setattr(download, "PYTHON_MD5", hashlib.md5(BODY).hexdigest())
    log_local_archives("0" * 64)
    assert len(logged_commands(caplog)) == 1


def test_nothing_odd_in_the_known_places_stops_a_download(
    tmp_path, caplog, monkeypatch
):
    caplog.set_level("INFO", "shears")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/dev/null")
    data = tmp_path / "data"
    data.mkdir()
    os.mkfifo(data / ARCHIVES[0])
    (data / ARCHIVES[1]).mkdir()
    (data / ARCHIVES[2]).symlink_to(ARCHIVES[2])
    with (data / ARCHIVES[3]).open("wb") as file:
        file.truncate(1 << 40)
    log_local_archives(SHA256)
    assert not caplog.records
    log_local_archives(SHA256, ["~no such user/x"])  # no home folder
    (data / ARCHIVES[1]).rmdir()
    (data / ARCHIVES[1]).write_bytes(BODY)
    log_local_archives(SHA256)
    assert logged_commands(caplog) == [[f"CIFAR10_ARCHIVE={data / ARCHIVES[1]}"]]


def test_a_local_archive_is_suggested_but_the_network_is_used(
    tmp_path, caplog, monkeypatch
):
    caplog.set_level("INFO", "shears")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("CIFAR10_ARCHIVE", raising=False)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ARCHIVES[0]).write_bytes(BODY)
    with serving() as (url, server):
        download_cifar10(archive=str(tmp_path / "a"), urls=[url], sha256=SHA256)
    assert len(server.requested) == 1
    assert "to use it instead of the network" in caplog.text


def test_a_damaged_local_archive_is_not_copied(tmp_path):
    (tmp_path / "bad.tar.gz").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="bad.tar.gz: not a whole tar.gz"):
        copy_archive(tmp_path / "bad.tar.gz", tmp_path / "copy", sha256=SHA256)
    assert not (tmp_path / "copy").exists()

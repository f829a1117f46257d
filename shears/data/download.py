"""Gets the CIFAR-10 archive, from a local file or from the network."""

import contextlib
import logging
import os
import re
import shlex
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests
import tenacity
import urllib3
from tqdm import tqdm

from shears.data.archives import is_gzip
from shears.data.cifar10 import BINARY, KERAS_FOLDER, read_images, write_archive
from shears.runtime.errors import UserError, brief
from shears.runtime.files import (
    checksum,
    forget_checksum,
    no_link,
    whole_file,
    write_checksum,
)
from shears.runtime.paths import expand_of

log = logging.getLogger(__name__)

CHUNK = 1 << 20  # bytes
SLOWEST = 64 << 10  #: bytes in TIMEOUT[1] seconds; less is a stall
LARGEST = 256 << 20  # bytes; the archive has 170 million
TIMEOUT = (10, 60)  # seconds to connect, and to receive `SLOWEST` bytes
ATTEMPTS = 6  #: rounds without progress before the download fails
PYTHON_MD5 = "c58f30108f718f92721af3b95e74349a"  # of the official Python archive
#: Where people have an archive already; the folder ``data`` is torchvision's example.
PLACES = ("~/.keras/datasets", "data")
#: The archives' own names, and those that Keras 2 and Keras 3 give them.
ARCHIVES = (
    "cifar-10-binary.tar.gz",
    "cifar-10-python.tar.gz",
    "cifar-10-batches-py.tar.gz",
    f"{KERAS_FOLDER}_archive",
)
DIGITS = {"sha256": 64, "md5": 32}  # length of each algorithm's checksums


def _find_checksum(text: str, digits: int, name: str) -> tuple[str, bool]:
    """Finds a file's checksum in the text of a checksum file.

    The lines are ``sha256sum``'s (``CHECKSUM  NAME``, ``CHECKSUM *NAME``), BSD's
    (``SHA256 (NAME) = CHECKSUM``), OpenSSL's, or a checksum alone.

    Args:
        text: One line or a list.
        digits: The length of the checksum in hexadecimal.
        name: The file's name.

    Returns:
        The checksum, empty if there is none, and whether its line names the file. A
        checksum that stands alone counts under any name, since files are renamed.
    """
    value = f"([0-9a-fA-F]{{{digits}}})"
    lines = re.compile(
        rf"\\?{value}(?:\s+\*?(?P<after>.*))?|[\w-]+ ?\((?P<inside>.*)\) ?= ?{value}"
    )
    found = [match for line in text.splitlines() if (match := lines.fullmatch(line))]
    for match in found:
        if os.path.basename(match["after"] or match["inside"] or "") == name:
            return (match[1] or match[4]).lower(), True
    return ((found[0][1] or found[0][4]).lower() if len(found) == 1 else ""), False


def expected_checksum(archive: Path) -> tuple[str, str, Path] | None:
    """Reads the checksum file beside an archive, if there is one.

    Args:
        archive: The archive; its checksum file has its name and ".sha256" or ".md5", or
            is a list with its name: ``SHA256SUMS`` or ``MD5SUMS``.

    Returns:
        Algorithm, checksum in hexadecimal and the checksum file, or None.

    Raises:
        UserError: The file holds no checksum of the archive.
    """
    for algorithm, digits in DIGITS.items():
        path = archive.with_name(f"{archive.name}.{algorithm}")
        if path.exists():
            text = path.read_text(encoding="utf-8", errors="replace")
            value, _ = _find_checksum(text, digits, archive.name)
            if not value:
                raise UserError(
                    f"{path}: found no {algorithm} checksum of {archive.name} "
                    f"({digits} hexadecimal digits): correct it or move it away"
                )
            return algorithm, value, path
    for algorithm, digits in DIGITS.items():
        path = archive.with_name(f"{algorithm.upper()}SUMS")
        if path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            value, named = _find_checksum(text, digits, archive.name)
            if named:
                return algorithm, value, path
    return None


def _is_official(archive: Path, sha256: str) -> bool:
    """Returns whether a file is the binary archive, by `sha256`, or the Python one."""
    return checksum(archive) == sha256 or checksum(archive, "md5") == PYTHON_MD5


def _verify(archive: Path, sha256: str) -> None:
    """Compares an archive to the checksum file beside it, if there is one."""
    expected = expected_checksum(archive)
    if expected:
        algorithm, value, path = expected
        actual = checksum(archive, algorithm)
        if actual != value:
            raise UserError(
                f"{archive} (CIFAR10_ARCHIVE): its {algorithm} is {actual}, but "
                f"{path.name} says {value}: the archive or its checksum file is "
                "damaged or a different one; get both again"
            )
    elif not _is_official(archive, sha256):
        log.warning(
            "%s is not the official file and has no checksum file: its sha256 is %s, "
            "expected %s (data: sha256)",
            archive,
            checksum(archive),
            sha256,
        )


def copy_archive(source: str | Path, target: str | Path, *, sha256: str) -> None:
    """Verifies a local copy and puts a binary archive where the workflow keeps it.

    A binary archive is copied as it is. Every other form is converted: the same images
    give the same bytes, whichever form they come in.

    Args:
        source: What CIFAR10_ARCHIVE names: an archive or a folder (`read_images`). It
            is expanded (`expand_of`).
        target: Final name; appears only if all checks pass.
        sha256: The official binary archive's checksum. An archive that is not official
            is logged, unless it has a checksum file of its own beside it.

    Raises:
        UserError: The file is missing, has the wrong checksum or is not CIFAR-10
            (`read_images`).
    """
    source = Path(expand_of("CIFAR10_ARCHIVE", str(source))).absolute()
    if not (source.is_file() or source.is_dir()):
        kind = "regular" if source.exists() else "such"
        raise UserError(
            f"CIFAR10_ARCHIVE={source}: no {kind} file or folder; set it to the path "
            "of CIFAR-10's binary or Python archive, or of a folder that has one "
            "unpacked, or unset it to download the archive"
        )
    if source.is_file():
        _verify(source, sha256)
    images = read_images(source)
    copied = images.form is BINARY and source.is_file() and is_gzip(source)
    # Read before: an error of the source is not the target's.
    content = source.read_bytes() if copied else b""
    forget_checksum(target)
    with whole_file(target) as file:
        if copied:
            file.write(content)
        else:
            write_archive(file, images)
    write_checksum(target, checksum(target))
    log.info("%s %s", "copied" if copied else "converted", source)


def log_local_archives(sha256: str, places: Sequence[str | Path] = PLACES) -> None:
    """Logs which official archives are on this machine already, and how to use them.

    Args:
        sha256: The official binary archive's checksum.
        places: Folders to look in for the names of `ARCHIVES`.
    """
    for place in places:
        for name in ARCHIVES:
            # Whatever is wrong with such a file, it is no reason not to download.
            with contextlib.suppress(OSError, RuntimeError):
                path = Path(place).expanduser().absolute() / name
                if (
                    path.is_file()
                    and path.stat().st_size <= LARGEST
                    and _is_official(path, sha256)
                ):
                    log.info(
                        "%s is the official archive; to use it instead of the network, "
                        "stop this run and put before its command: CIFAR10_ARCHIVE=%s",
                        path,
                        shlex.quote(str(path)),
                    )


class _WrongFile(Exception):
    """The server has a different file; asking it again is pointless."""


class _NoServer(Exception):
    """No server delivered the file in this round."""


# The last one is for an address that urllib3 cannot parse and requests lets through.
FAULTS = (requests.RequestException, _WrongFile, urllib3.exceptions.HTTPError)


def _reason(error: BaseException) -> str:
    """Returns the innermost cause, which requests wraps in three layers of its own."""
    while error.__context__ is not None:
        error = error.__context__
    return brief(error, 250)


def _is_passing(error: BaseException) -> bool:
    """Returns whether a fault may pass: the network or a busy server."""
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in (408, 416, 429) or (
            error.response.status_code >= 500
        )
    if isinstance(error, requests.exceptions.SSLError):
        return False
    return isinstance(error, requests.ConnectionError | requests.Timeout)


def _chunks(response: requests.Response, patience: float) -> Iterator[bytes]:
    """Yields a body as it arrives, not decoded.

    Raises:
        requests.ConnectionError: It is cut off or it stalls: fewer than `SLOWEST` bytes
            in `patience` seconds.
    """
    since, received = time.monotonic(), 0
    try:
        while chunk := response.raw.read1(CHUNK):
            yield chunk
            received += len(chunk)
            if time.monotonic() - since > patience:
                if received < SLOWEST:
                    raise requests.ConnectionError(
                        f"stalled: {received:,} bytes in {patience:g} seconds"
                    )
                since, received = time.monotonic(), 0
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(_reason(error)) from error


def _stream(
    url: str, partial: Path, timeout: tuple[float, float], largest: int
) -> None:
    """Downloads the rest of a file, or all of it if the server cannot resume.

    Raises:
        requests.RequestException: The network or the server fails.
        _WrongFile: The server sends more than the archive can have.
    """
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == 416:  # no bytes after those we have: start over
            partial.unlink()
        response.raise_for_status()
        span = response.headers.get("Content-Range", "")
        resumes = response.status_code == 206 and span.startswith(f"bytes {have}-")
        if response.status_code == 206 and not resumes:
            raise requests.ConnectionError(f"requested from byte {have}, got {span!r}")
        have = have if resumes else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else None
        too_much = _WrongFile(f"sends more than {largest:,} bytes")
        if total is not None and total > largest:
            raise too_much
        with (
            open(partial, "ab" if resumes else "wb", opener=no_link) as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True) as bar,
        ):
            for chunk in _chunks(response, timeout[1]):
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
                if have > largest:
                    raise too_much
            os.fsync(file.fileno())
    if total is not None and have < total:
        raise requests.ConnectionError(
            f"the connection ended at {have:,} of {total:,} bytes"
        )


def _fetch(
    url: str, partial: Path, sha256: str, timeout: tuple[float, float], largest: int
) -> None:
    """Downloads a file and verifies its checksum.

    Raises:
        requests.RequestException: The network or the server fails.
        _WrongFile: The server sends a different file, which is deleted.
    """
    resumed = partial.exists()
    if resumed and checksum(partial) == sha256:
        return
    try:
        _stream(url, partial, timeout, largest)
        actual = checksum(partial)
        if actual != sha256 and resumed:  # the bytes of an earlier attempt were bad
            partial.unlink()
            _stream(url, partial, timeout, largest)
            actual = checksum(partial)
        if actual != sha256:
            raise _WrongFile(
                f"its sha256 is {actual}, expected {sha256} (data: sha256)"
            )
    except _WrongFile:
        partial.unlink(missing_ok=True)
        raise


def download_archive(
    target: str | Path,
    *,
    urls: Sequence[str],
    sha256: str,
    wait: float = 2,
    timeout: tuple[float, float] = TIMEOUT,
    largest: int = LARGEST,
) -> None:
    """Downloads the archive; resumes after a lost connection or an earlier attempt.

    The servers are tried in order. One that does not have the file is not tried again,
    and after `ATTEMPTS` rounds without progress the download fails. The bytes received
    so far are kept in `target` plus ".part".

    Args:
        target: Final name; appears only when whole and verified.
        urls: The same file on one or more servers.
        sha256: The checksum it must have, in hexadecimal.
        wait: Seconds before the second round; doubled for each further one.
        timeout: Seconds to connect, and seconds after which a connection that has sent
            fewer than `SLOWEST` bytes counts as stalled.
        largest: Bytes; a server that sends more is not tried again.

    Raises:
        UserError: Every server fails or has a different file.
        OSError: The file cannot be written.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    left, failures, best = list(urls), 0, 0
    reasons: dict[str, str] = {}

    def try_each() -> None:
        nonlocal failures, best
        failures += 1
        for url in tuple(left):
            try:
                return _fetch(url, partial, sha256, timeout, largest)
            except FAULTS as error:
                reasons[url] = _reason(error)
                log.warning("%s: %s", url, reasons[url])
                if not _is_passing(error):
                    left.remove(url)
            size = partial.stat().st_size if partial.exists() else 0
            if size >= best + CHUNK:  # farther than any server has got
                failures, best = 0, size
        raise _NoServer

    retry = tenacity.Retrying(
        stop=lambda _: not left or failures >= ATTEMPTS,
        wait=lambda _: min(60, wait * 2 ** max(0, failures - 1)),
        retry=tenacity.retry_if_exception_type(_NoServer),
        before_sleep=lambda state: log.warning(
            "retrying in %.0f s", state.upcoming_sleep
        ),
        reraise=True,
    )
    try:
        retry(try_each)
    except _NoServer:
        details = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
        raise UserError(
            f"the download failed ({details})\n"
            "check the network and run again (it resumes), or get the file another way "
            "and set CIFAR10_ARCHIVE to its path"
        ) from None
    forget_checksum(target)
    partial.replace(target)
    write_checksum(target, sha256)

"""Getting the CIFAR-10 archive: from a file at hand or from the network."""

import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests
import tenacity
import urllib3
from tqdm import tqdm

from shears.data.cifar10 import read_archive
from shears.runtime.errors import UserError, brief
from shears.runtime.files import checksum, whole_file

log = logging.getLogger(__name__)

CHUNK = 1 << 20  # bytes
SLOWEST = 64 << 10  # bytes in TIMEOUT[1] seconds
LARGEST = 256 << 20  # bytes; the archive has 170 million
TIMEOUT = (10, 60)
ATTEMPTS = 6
DIGITS = {"sha256": 64, "md5": 32}  # algorithms and the length of their checksums


def expected_checksum(archive: Path) -> tuple[str, str, Path] | None:
    """Reads the checksum file beside an archive, if there is one.

    Args:
        archive: The archive; its checksum file has its name and ".sha256" or ".md5".

    Returns:
        Algorithm, checksum in hexadecimal and the checksum file, or None.

    Raises:
        UserError: There is one, and it holds no checksum.
    """
    for algorithm, digits in DIGITS.items():
        path = archive.with_name(f"{archive.name}.{algorithm}")
        if path.exists():
            words = path.read_text(errors="replace").split()
            value = words[0].lower() if words else ""
            if not re.fullmatch(f"[0-9a-f]{{{digits}}}", value):
                raise UserError(
                    f"{path}: found no {algorithm} checksum ({digits} hexadecimal "
                    "digits) at its beginning: mend or delete the file"
                )
            return algorithm, value, path
    return None


def copy_archive(source: str | Path, target: str | Path, *, sha256: str) -> None:
    """Copies an archive that is at hand to where the workflow keeps it, checked.

    Args:
        source: The archive that CIFAR10_ARCHIVE names.
        target: Final name; appears only when all is well.
        sha256: The official file's checksum; where no checksum file lies beside the
            source, another one is told in the log.

    Raises:
        UserError: No such file, wrong checksum, or not the archive (`read_archive`).
    """
    source = Path(source).expanduser().absolute()
    if not source.is_file():
        raise UserError(
            f"CIFAR10_ARCHIVE={source}: there is no such file; give the path of "
            "cifar-10-binary.tar.gz, or unset CIFAR10_ARCHIVE to download it"
        )
    expected = expected_checksum(source)
    if expected:
        algorithm, value, path = expected
        found = checksum(source, algorithm)
        if found != value:
            raise UserError(
                f"{source}: its {algorithm} is {found}, but {path.name} says {value}: "
                "the archive is damaged or another one; get it again"
            )
    elif checksum(source) != sha256:
        log.warning("%s is not the official file; no checksum file beside it", source)
    read_archive(source)
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)
    log.info("copied %s", source)


class _Refused(Exception):
    """A server that does not have the file, however often it is asked."""


class _Failed(Exception):
    """No server gave the file this time."""


# The last one: an address that urllib3 cannot take apart, which requests lets through.
FAULTS = (requests.RequestException, _Refused, urllib3.exceptions.HTTPError)


def _reason(error: BaseException) -> str:
    """Finds the innermost cause: requests wraps it in three layers of its own names."""
    while error.__context__ is not None:
        error = error.__context__
    return brief(error)


def _is_passing(error: BaseException) -> bool:
    """Tells a fault that may pass (network, busy server) from one that will not."""
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in (408, 416, 429) or (
            error.response.status_code >= 500
        )
    if isinstance(error, requests.exceptions.SSLError):
        return False
    return isinstance(error, requests.ConnectionError | requests.Timeout)


def _chunks(response: requests.Response, patience: float) -> Iterator[bytes]:
    """Yields a body as it comes, not decoded.

    Raises:
        requests.ConnectionError: It is cut off, or it stalls: less than `SLOWEST` bytes
            in `patience` seconds.
    """
    since, came = time.monotonic(), 0
    try:
        while chunk := response.raw.read1(CHUNK):
            yield chunk
            came += len(chunk)
            if time.monotonic() - since > patience:
                if came < SLOWEST:
                    raise requests.ConnectionError(
                        f"stalled: {came:,} bytes in {patience:g} seconds"
                    )
                since, came = time.monotonic(), 0
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(_reason(error)) from error


def _stream(
    url: str, partial: Path, timeout: tuple[float, float], largest: int
) -> None:
    """Fetches the rest of a file, or all of it where the server cannot resume.

    Raises:
        requests.RequestException: The network or the server fails.
        _Refused: The server sends more than the archive can have.
    """
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=timeout) as response:
        if response.status_code == 416:  # nothing behind what we have: begin anew
            partial.unlink()
        response.raise_for_status()
        sent = response.headers.get("Content-Range", "")
        resumes = response.status_code == 206 and sent.startswith(f"bytes {have}-")
        if response.status_code == 206 and not resumes:
            raise requests.ConnectionError(f"asked from byte {have}, got {sent!r}")
        have = have if resumes else 0
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdecimal() else None
        too_much = _Refused(f"sends more than {largest:,} bytes")
        if total is not None and total > largest:
            raise too_much
        with (
            partial.open("ab" if resumes else "wb") as file,
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
    """Fetches a file and compares its checksum.

    Raises:
        requests.RequestException: The network or the server fails.
        _Refused: What came is another file; it is deleted.
    """
    resumed = partial.exists()
    if resumed and checksum(partial) == sha256:
        return
    try:
        _stream(url, partial, timeout, largest)
        found = checksum(partial)
        if found != sha256 and resumed:  # what was left of an earlier attempt was bad
            partial.unlink()
            _stream(url, partial, timeout, largest)
            found = checksum(partial)
        if found != sha256:
            raise _Refused(f"what came has sha256 {found}, expected {sha256}")
    except _Refused:
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
    """Downloads the archive, resuming after a cut connection or an earlier attempt.

    The servers are asked in order; one that does not have the file is not asked again,
    and after `ATTEMPTS` rounds without progress the download fails. What has come so
    far is kept in `target` with ".part" behind it.

    Args:
        target: Final name; appears only when whole and verified.
        urls: Where from; the same file on several servers.
        sha256: The checksum it must have, in hexadecimal.
        wait: Seconds before the second round; doubled for each further one.
        timeout: Seconds to connect, and seconds in which a connection that sends less
            than `SLOWEST` bytes counts as stalled.
        largest: Bytes; a server that sends more is not asked again.

    Raises:
        UserError: Every server fails or has another file.
        OSError: The file cannot be written.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    left, reasons, failures, best = list(urls), {}, 0, 0

    def ask_each() -> None:
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
            if size >= best + CHUNK:  # more than any server has brought so far
                failures, best = 0, size
        raise _Failed

    retry = tenacity.Retrying(
        stop=lambda _: not left or failures >= ATTEMPTS,
        wait=lambda _: min(60, wait * 2 ** max(0, failures - 1)),
        retry=tenacity.retry_if_exception_type(_Failed),
        before_sleep=lambda state: log.warning(
            "asking again in %.0f s", state.next_action.sleep
        ),
        reraise=True,
    )
    try:
        retry(ask_each)
    except _Failed:
        told = "; ".join(f"{url}: {reason}" for url, reason in reasons.items())
        raise UserError(
            f"the download failed ({told})\n"
            "check the network and run again (it resumes), or get the file another way "
            "and set CIFAR10_ARCHIVE to its path"
        ) from None
    partial.replace(target)

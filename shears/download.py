"""Getting the CIFAR-10 archive: from a file at hand or from the network."""

import logging
import re
import shutil
from pathlib import Path

import requests
import tenacity
from tqdm import tqdm

from shears.errors import UserError
from shears.files import checksum, whole_file
from shears.raw_data import read_archive

log = logging.getLogger(__name__)

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CHUNK = 1 << 20  # bytes
TIMEOUT = (10, 60)  # seconds to connect, seconds without a byte
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


def copy_archive(source: str | Path, target: str | Path) -> None:
    """Copies an archive that is at hand to where the workflow keeps it, checked.

    Args:
        source: The archive that CIFAR10_ARCHIVE names.
        target: Final name; appears only when all is well.

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
    elif checksum(source) != SHA256:
        log.warning("%s is not the official file; no checksum file beside it", source)
    read_archive(source)
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)
    log.info("copied %s", source)


def _reason(error: BaseException) -> str:
    """Finds the innermost cause: requests wraps it in three layers of its own names."""
    while error.__context__ is not None:
        error = error.__context__
    return str(error)


def _say_retry(state: tenacity.RetryCallState) -> None:
    """Logs that an attempt failed and when the next one is."""
    log.warning(
        "attempt %d of %d failed (%s); again in %.0f s",
        state.attempt_number,
        ATTEMPTS,
        _reason(state.outcome.exception()),
        state.next_action.sleep,
    )


def _is_passing(error: BaseException) -> bool:
    """Tells a fault that may pass (network, busy server) from one that will not."""
    if isinstance(error, requests.HTTPError):
        return error.response.status_code in (408, 416, 429) or (
            error.response.status_code >= 500
        )
    return isinstance(error, requests.RequestException)


def _stream(url: str, partial: Path) -> None:
    """Fetches the rest of a file, or all of it where the server cannot resume."""
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
        if response.status_code == 416:  # nothing behind what we have: begin anew
            partial.unlink()
        response.raise_for_status()
        sent = response.headers.get("Content-Range", "")
        resumes = response.status_code == 206 and sent.startswith(f"bytes {have}-")
        if response.status_code == 206 and not resumes:
            raise requests.ConnectionError(f"asked from byte {have}, got {sent!r}")
        have = have if resumes else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        with (
            partial.open("ab" if resumes else "wb") as file,
            tqdm(total=total, initial=have, unit="B", unit_scale=True) as bar,
        ):
            for chunk in response.iter_content(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and partial.stat().st_size < total:
        raise requests.ConnectionError(
            f"the connection ended at {partial.stat().st_size:,} of {total:,} bytes"
        )


def download_archive(
    target: str | Path, *, url: str = URL, sha256: str = SHA256, wait: float = 2
) -> None:
    """Downloads the archive, resuming after a cut connection or an earlier attempt.

    What has come so far is kept in `target` with ".part" behind it.

    Args:
        target: Final name; appears only when whole and verified.
        url: Where from.
        sha256: The checksum it must have, in hexadecimal.
        wait: Seconds before the second attempt; doubled for each further one.

    Raises:
        UserError: The network or the server fails for good, or the checksum is wrong.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    advice = (
        "check the network and run again (it resumes), or get the file another way and "
        "set CIFAR10_ARCHIVE to its path"
    )
    retry = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(multiplier=wait),
        retry=tenacity.retry_if_exception(_is_passing),
        before_sleep=_say_retry,
        reraise=True,
    )
    resumed = partial.exists()
    found = checksum(partial) if resumed else None
    try:
        if found != sha256:
            retry(_stream, url, partial)
            found = checksum(partial)
        if found != sha256 and resumed:  # what was left of an earlier attempt was bad
            partial.unlink()
            retry(_stream, url, partial)
            found = checksum(partial)
    except requests.RequestException as error:
        raise UserError(
            f"{url}: download failed ({_reason(error)}); {advice}"
        ) from error
    if found != sha256:
        partial.unlink()
        raise UserError(
            f"{url}: what came has sha256 {found}, expected {sha256}; it was deleted; "
            f"{advice}"
        )
    partial.replace(target)

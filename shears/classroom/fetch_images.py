"""Gets the test images from CIFAR-10's servers: ``setup.sh`` calls it.

For an autograder that does not carry the images. It uses the standard library's client,
because the grader's environment has nothing but numpy and h5py.
"""

import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from shears.classroom.part_b import IMAGES
from shears.data.cifar10 import read_archive
from shears.data.packed_images import pack
from shears.data.servers import SHA256, URLS
from shears.runtime.errors import UserError, brief, plain_errors
from shears.runtime.files import checksum, whole_file

TIMEOUT = 60  # seconds without a byte


def fetch(target: Path, urls: Sequence[str] = URLS, sha256: str = SHA256) -> None:
    """Downloads the archive and writes its test images in the grader's form.

    Args:
        target: The file to write.
        urls: Where the archive is; they are tried in order.
        sha256: Its checksum.

    Raises:
        UserError: No server has the archive with this checksum.
    """
    reasons = []
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder, "cifar-10-binary.tar.gz")
        for url in urls:
            try:
                with (
                    urllib.request.urlopen(url, timeout=TIMEOUT) as answer,
                    archive.open("wb") as file,
                ):
                    shutil.copyfileobj(answer, file)
            except OSError as error:
                reasons.append(f"{url}: {brief(error)}")
                continue
            actual = checksum(archive)
            if actual == sha256:
                break
            reasons.append(f"{url}: its sha256 is {actual}, expected {sha256}")
        else:
            raise UserError(
                f"the test images could not be downloaded ({'; '.join(reasons)}); "
                "build the autograder with --images zip"
            )
        content = pack(read_archive(archive)[1])
    with whole_file(target) as packed:
        packed.write(content)


if __name__ == "__main__":
    with plain_errors():
        fetch(Path(sys.argv[1], IMAGES))

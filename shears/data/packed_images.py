"""Images in the smallest form that numpy and the standard library unpack exactly.

Each pixel is predicted from its neighbours (left + above - above left), and red and
blue from green; what remains is small numbers, which LZMA compresses to half.
"""

import hashlib
import lzma

import numpy as np

from shears.data.dataset import Split
from shears.runtime.errors import UserError

_DIGEST = 32  # bytes of sha256
_PIXELS = 3 * 32 * 32
# Noise has no context and no long repetitions: a small dictionary is fastest, and best.
_FILTER = {
    "id": lzma.FILTER_LZMA2,
    "preset": 6,
    "dict_size": 4096,
    "nice_len": 273,
    "lc": 0,
    "lp": 0,
    "pb": 0,
}


def split_digest(split: Split) -> str:
    """Computes the sha256 of labels and pixels, in hexadecimal."""
    content = split.labels.tobytes() + split.images.tobytes()
    return hashlib.sha256(content).hexdigest()


def pack(split: Split) -> bytes:
    """Packs images and labels.

    Args:
        split: (N, 32, 32, 3) and (N,), uint8.

    Returns:
        The sha256 of what `unpack` gives, then an .xz file.
    """
    planes = split.images.transpose(3, 0, 1, 2).copy()  # (3, N, 32, 32)
    planes[[0, 2]] -= planes[1]  # modulo 256, as all of these
    for axis in (2, 3):
        planes = np.diff(planes, axis=axis, prepend=np.uint8(0))
    content = split.labels.tobytes() + planes.tobytes()
    digest = bytes.fromhex(split_digest(split))
    return digest + lzma.compress(content, filters=[_FILTER])


def unpack(packed: bytes) -> Split:
    """Unpacks what `pack` returned.

    Raises:
        UserError: It is damaged. The error does not name the file.
    """
    try:
        content = np.frombuffer(lzma.decompress(packed[_DIGEST:]), np.uint8)
        count = len(content) // (1 + _PIXELS)
        planes = content[count:].reshape(3, count, 32, 32).copy()
    except (lzma.LZMAError, EOFError, ValueError) as error:
        raise UserError(f"found no packed images ({error})") from error
    for axis in (2, 3):
        np.cumsum(planes, axis, np.uint8, planes)
    planes[[0, 2]] += planes[1]
    images = np.ascontiguousarray(planes.transpose(1, 2, 3, 0))
    split = Split(images, content[:count].copy())
    if bytes.fromhex(split_digest(split)) != packed[:_DIGEST]:
        raise UserError("found packed images whose checksum does not match")
    return split

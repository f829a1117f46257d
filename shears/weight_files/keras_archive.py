"""Opens a ``.keras`` file, which is a zip archive, without trusting it.

Keras 3, and TensorFlow from 2.12 on, write three members: ``metadata.json`` (the
version), ``config.json`` (the model's description) and ``model.weights.h5``. Errors
give the place in the file, what was found and what was expected, but not the file's
name.
"""

import codecs
import errno
import io
import json
import stat
import struct
import zipfile
from typing import BinaryIO, NamedTuple

from shears.runtime.errors import UserError, brief

codecs.lookup("cp437")  # zipfile's, while files can still be opened

MAGIC = b"PK\x03\x04"  #: how a zip archive begins, if it has a member
WEIGHTS = "model.weights.h5"
CONFIG = "config.json"
METADATA = "metadata.json"
# Bytes of a member. The weights are 5 MB; optimizers keep up to three times as much.
MOST = {METADATA: 1 << 16, CONFIG: 1 << 20, WEIGHTS: 1 << 26}
MOST_LISTED = 1 << 12  # bytes of the list of members
# What ends an archive: the signature, ..., the size and place of the list, a comment's
# length. A large archive has another record before it, whose place a locator tells.
END = struct.Struct("<4s8xLLH")
END_SIGNATURE, LOCATOR_SIGNATURE, LOCATOR_BYTES = b"PK\x05\x06", b"PK\x06\x07", 20
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 0x1  # a member's flag


class KerasArchive(NamedTuple):
    """What a ``.keras`` file holds.

    Attributes:
        writer: The version of Keras that wrote it; empty if it does not say.
        config: The description of its model, JSON.
        weights: Its weights, an HDF5 file.
    """

    writer: str
    config: str
    weights: bytes


def is_archive(file: BinaryIO) -> bool:
    """Returns whether a file begins like a zip archive, whatever its name."""
    file.seek(0)
    return file.read(len(MAGIC)) == MAGIC


def read_keras_archive(file: BinaryIO) -> KerasArchive:
    """Reads the members of a ``.keras`` file; nothing in them is used yet.

    Raises:
        UserError: It is not a whole archive of exactly these members, or they are
            larger than any network's that this could be.
        OSError: It is not readable.
    """
    try:
        _check_end(file)  # first, because zipfile reads a list of any length
        with zipfile.ZipFile(file) as archive:
            _check_members(archive.infolist())
            contents = {name: _read_member(archive, name) for name in MOST}
    except (UserError, MemoryError):
        raise
    except OSError as error:
        # A wrong place in the list of members is the only thing that is the file's.
        if error.errno != errno.EINVAL:
            raise
        raise UserError(
            "not readable as a .keras file (a place outside of it): it is cut off or "
            "damaged"
        ) from error
    except Exception as error:  # zipfile raises nearly anything on a damaged file
        raise UserError(
            f"not readable as a .keras file ({brief(error)}): it is cut off or damaged"
        ) from error
    return KerasArchive(
        _read_version(contents[METADATA]),
        _decode(contents[CONFIG], CONFIG),
        contents[WEIGHTS],
    )


def _check_end(file: BinaryIO) -> None:
    """Checks that the list of members at the end of an archive is short."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - END.size - LOCATOR_BYTES))
    end = file.read()
    signature, listed, _, comment = END.unpack(end[-END.size :])
    if signature != END_SIGNATURE or comment:
        raise UserError(
            "not readable as a .keras file (no end of a zip archive): it is cut off, "
            "damaged or another kind of file"
        )
    if listed > MOST_LISTED or end.startswith(LOCATOR_SIGNATURE):
        raise UserError(f"found a long list of members, expected {', '.join(MOST)}")


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    """Checks what the archive says about its members."""
    names = sorted(member.filename for member in members)
    if names != sorted(MOST):
        raise UserError(
            f"found the members {brief(', '.join(names[:9]) or 'none', 120)}, expected "
            f"exactly {', '.join(MOST)}, as in a .keras file"
        )
    for member in members:
        where, most = member.filename, MOST[member.filename]
        if member.flag_bits & ENCRYPTED:
            raise UserError(f"{where}: found encrypted data, expected plain data")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UserError(f"{where}: found a link, expected the data itself")
        if member.compress_type not in COMPRESSIONS:
            raise UserError(
                f"{where}: found the compression {member.compress_type}, expected "
                "none or deflate"
            )
        size, stored = member.file_size, member.compress_size
        if max(size, stored) > most:
            raise UserError(
                f"{where}: found {max(size, stored):,} bytes, expected at most {most:,}"
            )
        if member.compress_type == zipfile.ZIP_STORED and size != stored:
            raise UserError(
                f"{where}: found {stored:,} bytes, expected the {size:,} that the "
                "archive declares"
            )


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Reads a member; its size is limited, and its checksum is compared."""
    declared = archive.getinfo(name).file_size
    with archive.open(name) as member:
        content = member.read(declared + 1)
    if len(content) != declared:
        raise UserError(
            f"{name}: found {len(content):,} bytes, expected the {declared:,} that the "
            "archive declares"
        )
    return content


def _decode(content: bytes, where: str) -> str:
    """Decodes a member that is text."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UserError(
            f"{where}: found no text in UTF-8, expected a UTF-8 string"
        ) from None


def _read_version(content: bytes) -> str:
    """Reads the version of Keras that wrote an archive."""
    try:
        metadata = json.loads(_decode(content, METADATA))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{METADATA}: found no JSON ({brief(error)}), expected Keras' metadata"
        ) from None
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return version if isinstance(version, str) else ""  # loaders do not ask for it

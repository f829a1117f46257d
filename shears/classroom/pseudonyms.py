"""Pseudonyms of students that stay the same from run to run.

They come from a secret key and the student's identity, so nobody without the key's file
can tell whose they are, or recompute them from a list of the class. Both files that
tell are readable by their owner only.
"""

import csv
import hashlib
import hmac
import io
import os
import re
import secrets
from collections.abc import Sequence
from pathlib import Path

from shears.classroom.submissions import Student
from shears.classroom.tables import to_cell
from shears.runtime.errors import UserError
from shears.runtime.files import open_regular, whole_file

KEY = "pseudonyms.key"  #: the secret that the pseudonyms are made with
TABLE = "pseudonyms.csv"  #: says whose they are
FIRST = (
    "Amber Arctic Azure Bold Brave Bright Bronze Calm Clever Copper Coral Crimson "
    "Curious Daring Dusty Eager Early Emerald Fair Fancy Gentle Glad Golden Grand "
    "Green Happy Hardy Honest Humble Indigo Ivory Jade Jolly Keen Kind Lively Lucky "
    "Lunar Merry Mighty Misty Noble Olive Patient Polar Proud Purple Quick Quiet "
    "Rapid Rosy Royal Ruby Rustic Scarlet Shiny Silent Silver Solar Steady Sunny "
    "Swift Violet Witty"
).split()
SECOND = (
    "Albatross Alpaca Badger Beaver Bison Bobcat Camel Caribou Cheetah Condor "
    "Cormorant Crane Cricket Curlew Dolphin Dragonfly Eagle Egret Falcon Ferret "
    "Finch Flamingo Fox Gazelle Gecko Heron Hornbill Ibex Ibis Jackdaw Jaguar "
    "Kestrel Kingfisher Koala Lark Lemur Leopard Lynx Magpie Marten Mole Narwhal "
    "Newt Ocelot Orca Osprey Otter Panda Pelican Penguin Puffin Quail Raven Robin "
    "Salmon Seal Sparrow Swan Tapir Tern Toucan Walrus Wolf Wren"
).split()


def _write_private(path: Path, content: bytes) -> None:
    """Writes a file that only its owner can read."""
    with whole_file(path) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)


def _read_key(path: Path) -> bytes:
    """Reads the key, or makes one.

    Raises:
        UserError: The file is no key. It is kept: another key gives other pseudonyms.
    """
    try:
        with open_regular(path, "the pseudonyms' key") as file:
            text = file.read(100).decode("ascii", "replace").strip()
    except FileNotFoundError:
        key = secrets.token_bytes(32)
        _write_private(path, key.hex().encode() + b"\n")
        return key
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; the pseudonyms need it: without it, all change"
        ) from None
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise UserError(
            f"{path}: found no key of 64 hexadecimal digits: put back the one that was "
            "there; without it, all pseudonyms change"
        )
    return bytes.fromhex(text)


def _read_known(path: Path) -> dict[str, str]:
    """Reads the pseudonyms that were given before, by the digest of the identity."""
    known: dict[str, str] = {}
    try:
        with io.TextIOWrapper(open_regular(path), "utf-8", newline="") as file:
            for row in csv.DictReader(file):
                digest, name = row.get("digest") or "", row.get("pseudonym") or ""
                if re.fullmatch("[0-9a-f]{64}", digest) and re.fullmatch(
                    r"[A-Z][a-z]+ [A-Z][a-z]+( \d+)?", name
                ):
                    known.setdefault(digest, name)
    except (OSError, UserError, ValueError, csv.Error):
        return {}
    return known


def choose_names(digests: Sequence[str], known: dict[str, str]) -> dict[str, str]:
    """Chooses a name of two words for each digest; a second one of a name is numbered.

    Args:
        digests: Of the students, in hexadecimal.
        known: Names that were chosen before; they are kept, and given to nobody else.

    Returns:
        The names by digest, all different, with those known before.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    for digest, name in known.items():
        if name not in taken:
            names[digest] = name
            taken.add(name)
    for digest in sorted(digests):
        if digest in names:
            continue
        first, second = int(digest[:8], 16), int(digest[8:16], 16)
        base = name = f"{FIRST[first % len(FIRST)]} {SECOND[second % len(SECOND)]}"
        number = 1
        while name in taken:
            number += 1
            name = f"{base} {number}"
        names[digest] = name
        taken.add(name)
    return names


def give_pseudonyms(students: Sequence[Student], folder: Path) -> dict[str, str]:
    """Gives each student a pseudonym, and tells the teacher whose it is.

    Args:
        students: The class.
        folder: Where the key and the table are kept, `KEY` and `TABLE`.

    Returns:
        The pseudonyms by the students' identities.

    Raises:
        UserError: The key's file is no key.
        OSError: The folder is not writable.
    """
    key = _read_key(folder / KEY)
    digests = {
        student.identity: hmac.new(
            key, student.identity.encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()
        for student in students
    }
    known = _read_known(folder / TABLE)
    names = choose_names(list(digests.values()), known)
    pseudonyms = {identity: names[digest] for identity, digest in digests.items()}
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["pseudonym", "name", "identity", "digest"])
    for student in students:
        pseudonym = pseudonyms[student.identity]
        cells = map(to_cell, (student.name, student.identity))
        table.writerow([pseudonym, *cells, digests[student.identity]])
    # Who is gone may come back.
    for digest in names.keys() - set(digests.values()):
        table.writerow([names[digest], "", "", digest])
    _write_private(folder / TABLE, text.getvalue().encode())
    return pseudonyms

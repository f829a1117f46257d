"""Every text file is read and written with its encoding, whatever the locale.

Ruff's PLW1514 asks for it too, but sees only files whose type it can infer.
"""

import ast
import re

import pytest

from tests import ROOT

FOLDERS = ("shears", "scripts", "tools", "tests", "docs")
SOURCES = sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.py"))
RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
#: Where the mode is among a call's arguments, by the call's text.
MODE = {"open": 1, "os.fdopen": 1, "io.open": 1, "gzip.open": 1, "lzma.open": 1}
#: Calls named `open` that open no text.
BINARY = {
    *("os.open", "tarfile.open", "_Archive.open"),
    *("Image.open", "archive.open", "zipfile.open"),
}


def opens_text(call: ast.Call) -> bool:
    """Returns whether a call opens text in the encoding of the locale."""
    called = ast.unparse(call.func)
    name = called.rpartition(".")[2]
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    positional = [ast.unparse(argument) for argument in call.args]
    if "encoding" in given or None in given:
        return False
    if name in ("read_text", "write_text"):  # not our function of the first name
        return len(positional) == (name == "write_text")
    if called.startswith("subprocess."):
        return "text" in given or "universal_newlines" in given
    if name == "FileHandler":
        return True
    if name not in ("open", "fdopen") or called in BINARY:
        return False
    compressed = called in ("gzip.open", "lzma.open")
    place = MODE.get(called, 0)
    mode = given.get("mode", "'rb'" if compressed else "'r'")
    mode = positional[place] if len(positional) > place else mode
    return "'t" in mode or "t'" in mode if compressed else "b" not in mode


def found_in(text: str) -> list[str]:
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    return [ast.unparse(call) for call in calls if opens_text(call)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_text_file_is_opened_with_its_encoding(path):
    assert found_in(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_the_rules_open_text_with_its_encoding(path):
    text = path.read_text(encoding="utf-8")
    for call in re.findall(r"(?:open|read_text|write_text)\([^()]*\)", text):
        assert "utf-8" in call


def test_text_in_the_locales_encoding_is_found():
    wrong = (
        "open(p)",
        "open(p, 'w')",
        "p.open()",
        "Path(p).open('a+')",
        "p.read_text()",
        "p.read_text(errors='replace')",
        "p.write_text(t)",
        "gzip.open(p, 'rt')",
        "subprocess.run(c, text=True)",
        "logging.FileHandler(p)",
    )
    right = (
        "open(p, 'rb')",
        "open(p, encoding='utf-8')",
        "p.open('rb+')",
        "p.read_text('utf-8')",
        "p.write_text(t, encoding='utf-8')",
        "gzip.open(p)",
        "os.open(p, flags)",
        "subprocess.run(c)",
    )
    assert [call for call in wrong if not found_in(call)] == []
    assert [call for call in right if found_in(call)] == []

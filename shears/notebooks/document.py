"""Anybody's notebook file, as JSON: what is not edited stays as it was."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shears.notebooks.source import split_lines
from shears.runtime.errors import UserError, brief

LARGEST_FILE = 64 << 20  #: bytes of a file
FORMAT = 4


@dataclass(frozen=True)
class Document:
    """A notebook file.

    Attributes:
        content: The file's JSON, of which `read_document` has checked the cells.
        indent: Spaces, or other white space, that each level is indented by.
        ascii: Whether characters beyond ASCII are written as escape sequences.
        end: The white space after the last brace.
    """

    content: dict[str, Any]
    indent: str | None
    ascii: bool
    end: str

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The cells, in order."""
        return self.content["cells"]

    def with_sources(self, sources: Mapping[int, str]) -> "Document":
        """Copies it with other code in some code cells, whose outputs are removed.

        Args:
            sources: The new code, by the cell's number from 0. It is stored as the old
                one was: as one string or as a list of lines.
        """
        cells = list(self.cells)
        for number, source in sources.items():
            listed = isinstance(cells[number]["source"], list)
            cells[number] = {
                **cells[number],
                "source": split_lines(source) if listed else source,
                "outputs": [],
                "execution_count": None,
            }
        return replace(self, content={**self.content, "cells": cells})

    def encode(self) -> bytes:
        """Returns the file's new content, indented like the old one."""
        text = json.dumps(
            self.content, ensure_ascii=self.ascii, indent=self.indent, allow_nan=False
        )
        return (text + self.end).encode()


def source_of(cell: Mapping[str, Any]) -> str:
    """Returns a cell's text, which files store as a string or as a list of lines."""
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _constant(text: str) -> float:
    raise ValueError(f"found {text}, which JSON does not have")


def _check(content: Any) -> None:
    """Checks all that this project relies on, but not what it leaves as it is."""
    if not isinstance(content, dict) or "nbformat" not in content:
        raise UserError("found no key nbformat, expected a Jupyter notebook (.ipynb)")
    version = content["nbformat"]
    if version != FORMAT or isinstance(version, bool):
        advice = "open it in Jupyter and save it again"
        if isinstance(version, int) and version > FORMAT:
            advice = "save it in that format"
        raise UserError(
            f"found notebook format {brief(json.dumps(version), 20)}, expected "
            f"{FORMAT}: {advice}"
        )
    cells = content.get("cells")
    if not isinstance(cells, list):
        raise UserError("found no list of cells, expected a Jupyter notebook (.ipynb)")
    for number, cell in enumerate(cells, 1):
        kind = cell.get("cell_type") if isinstance(cell, dict) else None
        if not isinstance(kind, str):
            raise UserError(f"cell {number}: found no cell_type, expected a cell")
        source = cell.get("source")
        lines = source if isinstance(source, list) else [source]
        if not all(isinstance(line, str) for line in lines):
            raise UserError(f"cell {number}: found no source, expected its text")


def read_document(path: str | Path) -> Document:
    """Reads a notebook file of format 4; nothing in it is run.

    Raises:
        UserError: It is missing, larger than `LARGEST_FILE`, or not a notebook of
            format 4.
    """
    try:
        if Path(path).exists() and not Path(path).is_file():
            kind = "a folder" if Path(path).is_dir() else "no regular file"
            raise UserError(f"found {kind}, expected a Jupyter notebook (.ipynb)")
        if (size := Path(path).stat().st_size) > LARGEST_FILE:
            raise UserError(
                f"found {size:,} bytes, expected at most {LARGEST_FILE:,}: clear the "
                "outputs and save it again"
            )
        text = Path(path).read_bytes().decode("utf-8-sig")
        content = json.loads(text, parse_constant=_constant)
        _check(content)
        body = text.rstrip()
        second = text.split("\n", 2)[1] if "\n" in body else ""
        indent = second[: len(second) - len(second.lstrip())] if second else None
        document = Document(content, indent, text.isascii(), text[len(body) :])
        # Fails for what JSON or UTF-8 does not have.
        replace(document, ascii=False).encode()
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; expected a Jupyter notebook (.ipynb)"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{path}: not readable as JSON ({brief(error)}), expected a Jupyter "
            "notebook (.ipynb)"
        ) from None
    return document

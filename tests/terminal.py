"""A terminal for tests: runs a program in it, and shows what a person would see."""

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_PART = re.compile(
    r"\x1b\[([?\d;]*)([A-Za-z])|\x1b\](?:.*?)\x07|(\r|\n|[^\r\n\x1b\x03]+)|\x03"
)
_CUT = re.compile(r"\x1b(\[[?\d;]*|\][^\x07]*)?$")  # a control not read to its end


class Screen:
    """What a terminal shows: the few controls that rich writes, and no others."""

    def __init__(self, columns: int):
        """Makes an empty one of a width; it is as high as it is long."""
        self.columns = columns
        self.rows: list[str] = [""]
        self.row = self.column = 0
        self.cursor_shown = True
        self.pictures: list[str] = []

    def write(self, text: str) -> None:
        """Obeys what a program writes."""
        position = 0
        while position < len(text):
            found = _PART.match(text, position)
            assert found, repr(text[position : position + 20])
            position = found.end()
            self._obey(found)

    def _obey(self, found: re.Match[str]) -> None:
        numbers, letter, printed = found[1], found[2], found[3]
        if printed == "\r":
            self.column = 0
        elif printed == "\n":
            self.row += 1
        elif printed:
            self._print(printed)
        elif letter == "A":
            self.row = max(0, self.row - int(numbers or 1))
        elif letter == "K":
            assert numbers == "2", numbers
            self.rows[self.row] = ""
        elif letter == "J":
            assert numbers == "2", numbers
            self.rows = ["" for _ in self.rows]
        elif letter == "H":
            assert not numbers, numbers
            self.row = self.column = 0
        elif numbers == "?25":
            self.cursor_shown = letter == "h"
        else:
            assert letter in (None, "m"), found[0]  # colors; Ctrl-C's invisible echo
        while len(self.rows) <= self.row:
            self.rows.append("")

    def _print(self, text: str) -> None:
        for character in text:
            if self.column == self.columns:
                self.row, self.column = self.row + 1, 0
                while len(self.rows) <= self.row:
                    self.rows.append("")
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = (
                line[: self.column] + character + line[self.column + 1 :]
            )
            self.column += 1

    @property
    def text(self) -> str:
        """All that it shows."""
        return "\n".join(row.rstrip() for row in self.rows).rstrip()


class Terminal:
    """A program in a terminal."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        columns: int = 80,
        rows: int = 24,
        environment: Mapping[str, str] | None = None,
    ):
        """Starts it."""
        self.screen = Screen(columns)
        self.raw = self.unread = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.master, slave = pty.openpty()
        self.resize(columns, rows)

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            signal.signal(signal.SIGINT, signal.default_int_handler)

        ours = {"TERM": "xterm-256color", "PYTHONUTF8": "1", **(environment or {})}
        kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "VERBOSE")}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**kept, **ours},
            preexec_fn=take_terminal,
        )
        os.close(slave)

    def resize(self, columns: int, rows: int = 24) -> None:
        """Changes the size of the window."""
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def read(self, seconds: float = 0.2) -> str:
        """Shows what is written within some time; returns all that was written."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if not select.select([self.master], [], [], left)[0]:
                break
            try:
                part = os.read(self.master, 1 << 16)
            except OSError:  # its last program has ended
                break
            if not part:
                break
            text = self.unread + self.decoder.decode(part)
            cut = _CUT.search(text)
            end = cut.start() if cut else len(text)
            text, self.unread = text[:end], text[end:]
            self.raw += text
            self.screen.write(text)
            self.screen.pictures.append(self.screen.text)
        return self.raw

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Waits until a text is shown."""
        until = time.monotonic() + seconds
        while text not in self.screen.text:
            assert time.monotonic() < until, f"{text!r} never came:\n{self.screen.text}"
            assert self.process.poll() is None, self.screen.text
            self.read()

    def interrupt(self) -> None:
        """Presses Ctrl-C."""
        os.write(self.master, b"\x03")

    def end(self, seconds: float = 120) -> int:
        """Waits for the end; returns the exit status."""
        until = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < until, self.screen.text
            self.read()
        self.read()
        os.close(self.master)
        return self.process.returncode

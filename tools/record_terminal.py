"""Draws docs/terminal.svg from a real run in a terminal (`make demo`'s).

The picture has two moments of one run: halfway, and its end.
"""

import argparse
import shutil
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

from shears.runtime.errors import UserError, plain_errors
from shears.runtime.files import whole_file
from tests.terminal import Terminal

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 96
COMMAND = ["snakemake", "--cores", "all", "--configfile", "config/demo.yaml"]
COLORS = (
    (r"^✓", "green"),
    (r"^▸", "cyan"),
    (r"━+[╸╺]?(?= )", "magenta"),
    (r"^  (epoch|view) .*$", "bright_black"),
    (r"^(makes|keeps|disk|time|loads):", "bright_black"),
    (r"^→ .*$", "bold"),
    (r"^\$ .*$", "bold"),
)
# The fonts that rich names are fetched from a server: those that are there will do.
FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>A run of Shears in a terminal: halfway, and its end</title>
<style>
text {{ white-space: pre; font-size: {char_height}px;
font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; }}
{styles}
</style>
<defs>{lines}</defs>
<rect width="100%" height="100%" rx="8" fill="#0c0c0c"/>
<g transform="translate({terminal_x}, {terminal_y})">
{backgrounds}
{matrix}
</g>
</svg>
"""


def record(folder: Path, columns: int) -> tuple[str, str]:
    """Runs the demo in a folder.

    Returns:
        What the terminal showed while a pruning round was halfway, and at the end.

    Raises:
        UserError: The run failed, or no pruning round was seen.
    """
    command = [sys.executable, "-m", *COMMAND]
    terminal = Terminal(command, folder, columns=columns, rows=50)
    halfway = ""
    while terminal.process.poll() is None:
        terminal.read()
        shown = terminal.screen.text
        if "▸ Pruning" in shown and "  epoch 3/" in shown and not halfway:
            halfway = shown
    if terminal.end() or not halfway:
        raise UserError(f"the run failed:\n{terminal.screen.text}")
    return halfway, terminal.screen.text


def draw(halfway: str, end: str, columns: int) -> str:
    """Draws two moments of a run as an SVG."""
    before = halfway.splitlines()[1:]  # the first line names the profile
    after = end.splitlines()
    table = next(i for i, line in enumerate(after) if line.startswith("candidate"))
    console = Console(record=True, width=columns, file=sys.stderr, color_system="256")
    for line in [
        "$ make demo",
        *before,
        "",
        "(the same run, at its end)",
        "",
        *after[table:],
    ]:
        text = Text(line)
        for pattern, style in COLORS:
            text.highlight_regex(pattern, style)
        console.print(text, no_wrap=True, crop=True)
    return console.export_svg(title="make demo", code_format=FORMAT)


def main() -> None:
    """Runs the demo and draws it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    shutil.rmtree(ROOT / "demo", ignore_errors=True)
    picture = draw(*record(ROOT, COLUMNS), COLUMNS)
    with whole_file(ROOT / "docs/terminal.svg") as file:
        file.write(picture.encode())


if __name__ == "__main__":
    with plain_errors():
        main()

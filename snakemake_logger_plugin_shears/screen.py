"""What is written to the terminal, or line by line where there is none."""

import contextlib
import os
import termios
import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from snakemake_logger_plugin_shears.result import duration
from snakemake_logger_plugin_shears.run import Job, Run

TICK = 0.5  # seconds between two looks at the logs
QUIET = 30.0  # seconds of silence about a job where there is no terminal
EACH = 60.0  # seconds between two lines about a job there
MOST_JOBS = 8  # that are shown at once


class Screen:
    """Shows a run: at the bottom what runs, above it what has ended.

    Without a terminal it writes lines: when a job ends, and what those do that take
    long.
    """

    def __init__(self, stream: TextIO, run: Run, *, color: bool = True):
        """Writes to a stream what is known of a run."""
        self.run = run
        self.stream = stream
        self.interactive = stream.isatty() and os.environ.get("TERM") != "dumb"
        self.console = Console(
            file=stream,
            force_terminal=self.interactive,
            no_color=None if color else True,
            highlight=False,
            soft_wrap=not self.interactive,
        )
        self.columns = 0
        self.ascii_only = self.console.options.ascii_only
        self.live: Live | None = None
        self.kept: deque[RenderableType] = deque(maxlen=200)
        self._ending = threading.Event()
        self._ticker: threading.Thread | None = None
        self._lock = threading.RLock()

    def start(self) -> None:
        """Begins to show what runs."""
        if self._ticker:
            return
        if self.interactive:
            self._measure()
            with contextlib.suppress(OSError, termios.error):
                self._echo_controls(on=False)
            self.live = self._make_live()
            self.live.start()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def _echo_controls(self, *, on: bool) -> None:
        """Lets the terminal show Ctrl-C as "^C" or not: it would break the picture."""
        file = self.stream.fileno()
        if os.tcgetpgrp(file) != os.getpgrp():  # in the background
            return
        settings = termios.tcgetattr(file)
        settings[3] = settings[3] | termios.ECHOCTL
        if not on:
            settings[3] &= ~termios.ECHOCTL
        termios.tcsetattr(file, termios.TCSANOW, settings)

    def stop(self) -> None:
        """Takes away what runs, and leaves the terminal as it was."""
        self._ending.set()
        if self._ticker:
            self._ticker.join()
        with self._lock:
            if self.live:
                self.live.stop()
                self.live = None
                with contextlib.suppress(OSError, termios.error):
                    self._echo_controls(on=True)

    def print(self, content: RenderableType, **how: Any) -> None:
        """Writes something that stays, above what runs."""
        with self._lock:
            self.console.print(content, **how)
            self.stream.flush()
            self.kept.append(content)

    def line(self, text: str, style: str = "") -> None:
        """Writes a line that stays."""
        self.print(Text(text, style=style), soft_wrap=not self.interactive)

    def ended(self, job: Job) -> None:
        """Writes that a job has ended."""
        mark = ("x" if self.ascii_only else "✗") if job.failed else "+"
        if not job.failed and not self.ascii_only:
            mark = "✓"
        taken = duration(job.seconds(time.time()))
        title = f"{job.title}: failed" if job.failed else job.title
        if not self.interactive:
            self.line(f"{mark} {title}  {taken}")
            return
        style = "red" if job.failed else "green"
        self.print(self._row(Text(mark, style=style), Text(title), Text(taken)))

    def _measure(self) -> None:
        """Asks how large the terminal is: rich would ask the wrong one."""
        try:
            size = os.get_terminal_size(self.stream.fileno())
        except (OSError, ValueError):
            return
        if not (size.columns and size.lines):
            return
        narrower = size.columns < self.columns
        self.columns = size.columns
        self.console.size = (size.columns, size.lines)
        if self.live and narrower:
            self._draw_again()

    def _draw_again(self) -> None:
        """Clears the window, whose lines have been wrapped, and writes all again.

        How many rows the picture has become, no program can know: some terminals wrap,
        some cut, and tmux says its new size a moment after it has wrapped.
        """
        assert self.live
        self.live.stop()
        self.stream.write("\x1b[2J\x1b[H")
        for content in list(self.kept)[-max(1, self.console.height // 2) :]:
            self.console.print(content)
        self.live = self._make_live()
        self.live.start()

    def _make_live(self) -> Live:
        """Makes the part at the bottom."""
        return Live(
            console=self.console,
            get_renderable=self.picture,
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            vertical_overflow="crop",
        )

    def _tick(self) -> None:
        """Looks at the running jobs again and again."""
        while not self._ending.wait(TICK):
            with self._lock:
                if self.live:
                    self._measure()
                    self.live.refresh()
                elif not self.interactive:
                    self._tell_of_long_jobs()

    def _tell_of_long_jobs(self) -> None:
        """Writes a line about jobs that have not ended for some time."""
        now = time.time()
        for job in self.run.running:
            if now - job.began < QUIET:
                continue
            if job.told is None:
                self.line(f"  {job.title} ...")
                job.told = now
            elif now - job.told >= EACH and (progress := job.progress):
                if progress.done == job.told_done:
                    continue
                text = f"{progress.unit} {progress.done}/{progress.total}"
                left = job.left(now)
                parts = [text, *progress.facts]
                parts += [] if left is None else [f"{duration(left)} left"]
                self.line(f"    {'  '.join(parts)}{self._of_run(now)}")
                job.told, job.told_done = now, progress.done

    def _of_run(self, now: float) -> str:
        """Says when the run ends."""
        left = self.run.seconds_left(now)
        return "" if left is None else f"; the run: {duration(left)} left"

    @staticmethod
    def _row(*cells: RenderableType) -> Table:
        """Lays out a mark, a text that may be shortened, and a time at the right."""
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        grid.add_column(no_wrap=True, justify="right")
        grid.add_row(*cells)
        return grid

    def _bar(self, done: float, total: float, width: int | None = None) -> ProgressBar:
        """Draws a bar."""
        return ProgressBar(total=total or 1.0, completed=done, width=width)

    def _job(self, job: Job, now: float) -> Iterator[RenderableType]:
        """Draws a running job: one row, and one more if its progress is known."""
        left, progress = job.left(now), job.progress
        taken = duration(job.seconds(now))
        about = taken if left is None else f"{duration(left)} left"
        if self.run.queue and not job.begun:
            about = "queued"
        mark = Text(">" if self.ascii_only else "▸", style="cyan")
        yield self._row(mark, Text(job.title), Text(about))
        if progress:
            grid = Table.grid(padding=(0, 2))
            count = f"  {progress.unit} {progress.done}/{progress.total}"
            width = 12 if self.console.width >= 90 else 6
            grid.add_row(
                Text(count, style="dim", no_wrap=True),
                self._bar(progress.done, progress.total, width),
                Text("  ".join(progress.facts), style="dim", no_wrap=True),
            )
            yield grid

    def picture(self) -> RenderableType:
        """Draws what runs, and a bar for the whole run."""
        now = time.time()
        rows: list[RenderableType] = []
        running = self.run.running
        room = max(1, min(MOST_JOBS, (self.console.height - 3) // 2))
        for job in running[:room]:
            rows += self._job(job, now)
        if len(running) > room:
            rows.append(Text(f"  and {len(running) - room} more", style="dim"))
        rows.append(self._whole(now))
        return Group(*rows)

    def _whole(self, now: float) -> Table:
        """Draws the bar of the whole run."""
        run = self.run
        taken, left = now - run.began, run.seconds_left(now)
        words = f"{run.done}/{run.total} jobs  {duration(taken)}"
        if left is None:
            bar = self._bar(run.done, run.total)
        else:
            bar = self._bar(taken, taken + left)
            end = time.strftime("%H:%M", time.localtime(now + left))
            words += f", about {duration(left)} left, until {end}"
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        grid.add_row(bar, Text(words, style="bold", no_wrap=True))
        return grid

"""Takes Snakemake's records, and the terminal, and says how a run went."""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

from rich.text import Text
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from snakemake_logger_plugin_shears.job_log import read_cause
from snakemake_logger_plugin_shears.result import candidates_table, duration, paths_of
from snakemake_logger_plugin_shears.run import Job, Planned, Run
from snakemake_logger_plugin_shears.screen import Screen

# What Snakemake writes about itself.
_BOOKKEEPING = re.compile(
    r"Config file .* is extended|Assuming unrestricted shared|Building DAG of jobs"
    r"|Using shell|Provided |Rules claiming|Group jobs|Conda environments"
    r"|Singularity containers|Select jobs|Complete log|Elapsed time|Shutting down"
    r"|Exiting because a job|At least one job did not|Shell command"
    r"|Terminating processes|Cancelling snakemake|Will exit after finishing"
)
_CAPTURED = (1, 2)  # file descriptors of the process that jobs inherit


class LogHandler(LogHandlerBase):
    """Shows a run as it goes."""

    def __post_init__(self) -> None:
        """Takes the terminal: it alone writes there until the run ends."""
        encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self.stream: TextIO = os.fdopen(
            os.dup(2), "w", encoding=encoding, errors="replace"
        )
        self.run = Run()
        self.screen = Screen(
            self.stream, self.run, color=not self.common_settings.nocolor
        )
        self.facts: dict[str, Any] = {}
        self.started = False
        self.finished = False
        self.cancelled = False
        self.saved: dict[int, int] = {}
        self.output: Path | None = None
        self.errors: list[str] = []
        self.handlers: Mapping[str, Callable[[logging.LogRecord], None]] = {
            LogEvent.RUN_INFO: self._on_run,
            LogEvent.JOB_INFO: self._on_job,
            LogEvent.JOB_FINISHED: self._on_finished,
            LogEvent.JOB_ERROR: self._on_error,
            LogEvent.GROUP_ERROR: self._on_group_error,
            LogEvent.ERROR: self._on_exception,
        }

    @property
    def writes_to_stream(self) -> bool:
        """It does."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """It does not."""
        return False

    @property
    def has_filter(self) -> bool:
        """It chooses by itself what is shown."""
        return True

    @property
    def has_formatter(self) -> bool:
        """It has its own format."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """It does not."""
        return False

    def emit(self, record: logging.LogRecord) -> None:
        """Shows what a record tells."""
        try:
            if told := getattr(record, "shears", None):
                self._on_facts(told)
                return
            event: str = getattr(record, "event", "")
            if event in self.handlers:
                self.handlers[event](record)
            elif not event:
                self._on_message(record)
        except Exception:
            self.handleError(record)

    def _on_facts(self, facts: Mapping[str, Any]) -> None:
        """Notes what the Snakefile tells (rules/overview.smk)."""
        self.facts.update(facts)
        if "planned" in facts:
            self.run.planned = {n: Planned(*p) for n, p in facts["planned"].items()}
            self.run.queue = facts["queue"]
        for line in facts.get("lines", ()):
            self.screen.line(line)

    def _on_run(self, record: logging.LogRecord) -> None:
        """Begins a run."""
        stats = dict(record.stats)  # type: ignore[attr-defined]
        self.run.total = stats.get("total", 0) - stats.get("all", 0)
        self.run.began = time.time()
        self.started = True

    def _on_job(self, record: logging.LogRecord) -> None:
        """Notes that a job begins."""
        about: Any = record
        if not about.log:  # a target: no work of its own
            return
        self.screen.start()
        self.run.start(about.jobid, about.rule_name, about.rule_msg, about.log[0])

    def _on_finished(self, record: logging.LogRecord) -> None:
        """Shows that a job is done."""
        job = self.run.finish(record.job_id)  # type: ignore[attr-defined]
        if job:
            self.screen.ended(job)

    def _on_error(self, record: logging.LogRecord) -> None:
        """Shows that a job has failed; why is said in the end."""
        about: Any = record
        job = self.run.finish(about.jobid, failed=True)
        if job:
            job.said, job.logs = about.rule_msg or "", about.log
            if not self.cancelled:
                self.screen.ended(job)

    def _on_group_error(self, record: logging.LogRecord) -> None:
        """Shows which jobs of a group have failed."""
        for about in record.job_error_info:  # type: ignore[attr-defined]
            job = self.run.finish(about["jobid"], failed=True)
            if job:
                self.screen.ended(job)

    def _on_exception(self, record: logging.LogRecord) -> None:
        """Notes an error of Snakemake's own."""
        if getattr(record, "exception", "") == "KeyboardInterrupt":
            self.cancelled = True
        elif not _BOOKKEEPING.search(record.getMessage()):
            self.errors.append(record.getMessage())
            self.run.messages.append(record.getMessage())  # perhaps about a job

    def _on_message(self, record: logging.LogRecord) -> None:
        """Shows a message, unless it is about Snakemake itself."""
        text = record.getMessage().strip()
        if text.startswith("Nothing to be done"):
            self.finished = True
            self.screen.line("Nothing to be done: all files are up to date.")
        elif text.startswith(("Terminating processes", "Cancelling snakemake")):
            self.cancelled = True
        elif text.startswith("Will exit after finishing"):  # SIGTERM; said repeatedly
            if not self.cancelled:
                self.screen.line("Will stop when the running jobs are done.")
            self.cancelled = True
        elif text.startswith("Elapsed time"):
            self.finished = True
        elif record.levelno >= logging.WARNING and self.started:
            self.run.messages.append(text)
        elif text and not self.started and not _BOOKKEEPING.match(text):
            self.screen.line(text)

    def capture(self) -> None:
        """Sends what jobs print to a file beside Snakemake's log.

        The Snakefile calls it (rules/overview.smk): records arrive here in a thread of
        their own, too late for the first job.
        """
        if self.saved:
            return
        folder = Path(".snakemake/log")
        self.output = folder / f"{datetime.now():%Y-%m-%dT%H%M%S.%f}.jobs.log"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = os.open(self.output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError:  # the disk is full: their lines are better than a failure
            return
        for number in _CAPTURED:
            self.saved[number] = os.dup(number)
            os.dup2(file, number)
        os.close(file)

    def _release(self) -> None:
        """Gives the terminal back."""
        for number, saved in self.saved.items():
            os.dup2(saved, number)
            os.close(saved)
        self.saved = {}

    def close(self) -> None:
        """Ends the display and says how the run ended."""
        if not self.stream.closed:
            self.screen.stop()
            self._release()
            try:
                self._say_how_it_ended()
            finally:
                self.stream.close()
        super().close()

    def _say_how_it_ended(self) -> None:
        """Writes the result, or what failed, as the last lines."""
        failed, errors = self.run.failed, self.errors
        if self.cancelled:  # jobs that were stopped have not failed
            failed = [job for job in failed if read_cause(job.log, job.began)]
            errors = []
        if failed or errors:
            self._say_what_failed(failed)
        elif self.cancelled or (self.started and not self.finished):
            if self.run.jobs:
                self.screen.line(
                    "Interrupted. Finished files are kept, and training resumes after "
                    "the last completed epoch: run again."
                )
        elif self.finished and "results" in self.facts:
            self._say_what_was_made()

    def _say_what_failed(self, failed: Sequence[Job]) -> None:
        """Writes the cause of each failure, and which log holds more."""
        if failed:
            self.screen.line(
                "Finished files are kept, and training resumes after the last "
                "completed epoch: fix what is named below and run again."
            )
        for job in failed:
            self.screen.line(f"error: {job.title}: {self.run.cause(job)}", style="red")
            logs = [path for path in (job.log, *map(Path, job.logs)) if path.exists()]
            if more := logs[0] if logs else self.output:
                self.screen.line(f"       more in {more}")
        for text in () if failed else self.errors:
            self.screen.line(f"error: {text}", style="red")

    def _say_what_was_made(self) -> None:
        """Writes the candidates, how long it took, and where the results are."""
        results = Path(self.facts["results"])
        targets = self.facts["find_targets"]()
        table = not targets and candidates_table(
            results, self.facts["candidates"], ascii_only=self.screen.ascii_only
        )
        if table:
            self.screen.print(Text())
            self.screen.print(table)
        if self.run.jobs:
            taken = duration(time.time() - self.run.began)
            self.screen.line(f"{self.run.done} jobs done in {taken}")
        for name, path in paths_of(results, targets):
            self.screen.line(f"{name + ':':<12}{path}")

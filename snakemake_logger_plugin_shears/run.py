"""The state of a run: what runs, what is done, what failed, how long it will take."""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from snakemake_logger_plugin_shears.job_log import Progress, read_cause, read_progress

_KILLED = re.compile(r"died with <Signals\.SIG(KILL|ABRT)|exit status (137|134)\b")
_STOPPED = re.compile(r"died with <Signals\.SIGTERM|exit status 143\b")


@dataclass(frozen=True)
class Planned:
    """What is expected of a job.

    Attributes:
        seconds: How long it takes.
        share: The share of `seconds` by which it makes the run longer.
        kind: Jobs of a kind are wrong by the same factor: "teacher", "student", "".
    """

    seconds: float
    share: float
    kind: str


@dataclass
class Job:
    """A job that was started.

    Attributes:
        number: Snakemake's number of it.
        rule: Its rule.
        title: What it does, for readers.
        log: Its log.
        began: When, in seconds since 1970.
        ended: When it ended; None while it runs.
        failed: Whether it failed.
        said: What the executor said of its failure: Slurm, of a job that it ended.
        logs: Its logs, and the executor's.
        told: When a line about it was last written where there is no terminal.
        told_done: How many epochs or views that line said were done.
    """

    number: int
    rule: str
    title: str
    log: Path
    began: float
    ended: float | None = None
    failed: bool = False
    said: str = ""
    logs: Sequence[str] = ()
    told: float | None = None
    told_done: int = 0

    @property
    def begun(self) -> bool:
        """Whether it has begun to write its log; in a queue, it has not."""
        try:
            return self.log.stat().st_mtime >= self.began - 1
        except OSError:
            return False

    @property
    def progress(self) -> Progress | None:
        """How far it is, if its log says so."""
        return read_progress(self.log, self.began)

    def seconds(self, now: float) -> float:
        """How long it has taken so far."""
        return (self.ended or now) - self.began

    def left(self, now: float) -> float | None:
        """Seconds left by the epochs that were measured; None before the first."""
        progress = self.progress
        if progress is None or progress.left is None:
            return None
        return max(0.0, progress.left - (now - progress.written))


@dataclass
class Run:
    """A run.

    Attributes:
        total: How many jobs it has.
        planned: What is expected of each job, by its number; may be empty.
        queue: Whether jobs wait in a cluster's queue, so that nobody knows when the run
            ends.
        jobs: Those that were started, by number.
        messages: Errors and warnings that Snakemake wrote.
        began: When the first job began.
    """

    total: int = 0
    planned: Mapping[int, Planned] = field(default_factory=dict)
    queue: bool = False
    jobs: dict[int, Job] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.time)

    def start(self, number: int, rule: str, title: str | None, log: str) -> Job:
        """Notes that a job begins, perhaps once more."""
        if self.planned and number not in {*self.planned, *self.jobs}:
            self.total += 1  # a refit's jobs are known only after the choice
        self.total = max(self.total, len(self.jobs) + (number not in self.jobs))
        job = Job(number, rule, title or rule, Path(log), time.time())
        self.jobs[number] = job
        return job

    def finish(self, number: int, *, failed: bool = False) -> Job | None:
        """Notes that a job ended; None if it is not known or has ended before."""
        job = self.jobs.get(number)
        if job is None or job.ended:
            return None
        job.ended, job.failed = time.time(), failed
        return job

    @property
    def running(self) -> list[Job]:
        """The jobs that run."""
        return [job for job in list(self.jobs.values()) if not job.ended]

    @property
    def done(self) -> int:
        """How many jobs are done."""
        return sum(bool(j.ended and not j.failed) for j in list(self.jobs.values()))

    @property
    def failed(self) -> list[Job]:
        """The jobs that failed and did not run again."""
        return [job for job in list(self.jobs.values()) if job.failed]

    def seconds_left(self, now: float) -> float | None:
        """Reckons when the run ends, by the forecast and by what was measured since.

        Returns:
            Seconds from now; None if nothing is known, as while a job runs that the
            forecast did not have: a refit, which is planned after the choice.
        """
        if not self.planned or self.queue:
            return None
        if any(job.number not in self.planned for job in self.running):
            return None
        measured: dict[str, list[float]] = {}
        left = 0.0
        open_jobs: list[tuple[Planned, float]] = []  # and seconds that it has taken
        for number, planned in self.planned.items():
            job = self.jobs.get(number)
            if job is None:
                open_jobs.append((planned, 0.0))
                continue
            taken = job.seconds(now)
            known = 0.0 if job.ended else job.left(now)
            if known is None:
                open_jobs.append((planned, taken))
                continue
            left += known * planned.share
            sums = measured.setdefault(planned.kind, [0.0, 0.0])
            sums[0] += taken + known
            sums[1] += planned.seconds
        for planned, taken in open_jobs:
            expected = planned.seconds * self._factor(measured, planned.kind)
            # One that takes longer than expected is near its end, as far as is known.
            left += max(expected - taken, 0.1 * taken) * planned.share
        return left

    @staticmethod
    def _factor(measured: Mapping[str, Sequence[float]], kind: str) -> float:
        """By how much jobs of a kind take longer than expected."""
        sums = measured.get(kind)
        if sums is None:  # none has been measured, so by as much as the others
            sums = [sum(values) for values in zip(*measured.values(), strict=True)]
        return sums[0] / sums[1] if sums and sums[1] else 1.0

    def cause(self, job: Job) -> str:
        """Says why a job failed, in one or two lines."""
        if text := read_cause(job.log, job.began):
            return text
        if job.said:
            return " ".join(job.said.split())[:300]
        about = [text for text in self.messages if f"{job.rule}.py" in text]
        if any(_KILLED.search(text) for text in about or self.messages):
            return (
                "the job was killed, most often for lack of memory: close other "
                "programs and run again"
            )
        if any(_STOPPED.search(text) for text in about or self.messages):
            return "the job was stopped from outside (SIGTERM): run again"
        for text in reversed(self.messages):
            if f"rule {job.rule}" in text or f"Job {job.number} " in text:
                return " ".join(text.split())[:300]
        return "the job ended without saying why"

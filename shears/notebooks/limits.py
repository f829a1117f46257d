"""Limits of what a notebook's processes may use, and a watch that keeps them."""

import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil

POLL = 0.1  # seconds
LOOK_AT_FILES = 10  # a look at files for so many at processes


@dataclass(frozen=True)
class Limits:
    """What a notebook may use; its processes are killed when they use more.

    Attributes:
        seconds: Wall time of the whole notebook.
        memory: Bytes of memory (resident) of its processes together.
        output: Characters that its cells print, pictures included.
        processor: Seconds of processor time of its processes together, whole.
        files: Bytes of its folder, which is removed afterwards.
        processes: How many it may have at a time.
    """

    seconds: float = 600
    memory: int = 4 << 30
    output: int = 16 << 20
    processor: int = 1200
    files: int = 1 << 30
    processes: int = 64


DEFAULT_LIMITS = Limits()


class Watch:
    """Kills a kernel, with all that it started, when it passes a limit.

    Attributes:
        limits: What it may use.
        folder: Its folder, which the environment of each of its processes names.
        reason: Why it was killed, or None.
    """

    def __init__(self, limits: Limits, folder: str, *, look_at_files: bool):
        """Takes what to look at; `start` begins to look."""
        self.limits = limits
        self.folder = folder
        self.reason: str | None = None
        self._look_at_files = look_at_files
        self._group: int | None = None  # until the kernel runs
        self._processes: dict[int, psutil.Process] = {}
        self._ended = threading.Event()

    @property
    def started(self) -> bool:
        """Whether there is a kernel to watch."""
        return self._group is not None

    def start(self, pid: int) -> None:
        """Begins to watch a kernel, which leads a group of processes."""
        self._deadline = time.monotonic() + self.limits.seconds
        self._group = pid
        self._processes = {pid: psutil.Process(pid)}
        self._thread = threading.Thread(target=self._loop, args=(pid,), daemon=True)
        self._thread.start()

    def stop(self, reason: str) -> None:
        """Kills the kernel; the first reason counts."""
        self.reason = self.reason or reason
        self._kill()

    def end(self) -> None:
        """Ends the watch, and the processes that the kernel left behind."""
        self._ended.set()
        if self._processes:
            self._thread.join()
            self._kill()
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    if process.environ().get("IPYTHONDIR") == self.folder:
                        process.kill()

    def _kill(self) -> None:
        # At once, however fast it starts new ones. Behind walls none can leave.
        if self._group is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._group, signal.SIGKILL)
        for process in list(self._processes.values()):
            with suppress(psutil.Error):
                process.kill()  # checks that it is still the same process

    def _look_for_processes(self, kernel: psutil.Process) -> None:
        with suppress(psutil.Error):
            self._processes |= {p.pid: p for p in kernel.children(recursive=True)}
        for pid in psutil.pids():
            with suppress(OSError, psutil.Error):
                if pid not in self._processes and os.getpgid(pid) == self._group:
                    self._processes[pid] = psutil.Process(pid)

    def _loop(self, pid: int) -> None:
        kernel = self._processes[pid]
        looks = 0
        while not self._ended.wait(POLL):
            self._look_for_processes(kernel)
            used = count = 0
            worked = 0.0
            for process in list(self._processes.values()):
                try:
                    used += process.memory_info().rss
                    worked += sum(process.cpu_times()[:4])  # ended children's, too
                    count += 1
                except psutil.Error:
                    if process is not kernel:
                        del self._processes[process.pid]
            if used > self.limits.memory:
                self.stop(
                    f"it used more than {self.limits.memory >> 20:,} MiB of memory"
                )
            if count > self.limits.processes:
                self.stop(f"it ran more than {self.limits.processes} processes")
            if worked > self.limits.processor:
                most = self.limits.processor
                self.stop(f"it used more than {most:,} s of processor time")
            looks += 1
            if self._look_at_files and looks % LOOK_AT_FILES == 0:
                if _size(self.folder) > self.limits.files:
                    most = self.limits.files >> 20
                    self.stop(f"it wrote more than {most:,} MiB of files")
            if time.monotonic() > self._deadline:
                self.stop(f"it took longer than {self.limits.seconds:g} s")


def _size(folder: str) -> float:
    """Measures what a folder takes, in bytes; infinite if that takes too long."""
    # du does not mind how deep folders are nested.
    command = ["du", "-sk", folder]
    try:
        found = subprocess.run(command, capture_output=True, timeout=10)
        return 1024 * int(found.stdout.split()[0])
    except subprocess.TimeoutExpired:
        return float("inf")
    except (OSError, ValueError, IndexError):  # it changes meanwhile
        return 0

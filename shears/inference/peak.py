"""What the processor could do at best, and the memory that a process took."""

import re
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def measure_peak() -> dict[str, float]:
    """Measures what this process could do at best, with NumPy's threads.

    Returns:
        The best of several runs of "flops", the multiplications and additions a second
        in a product of two float32 matrices of 1024 rows, and of "bytes", those read
        and written a second in memory.
    """
    a = np.random.default_rng(0).random((1024, 1024), np.float32)
    product = np.empty_like(a)
    source = np.ones(1 << 24, np.float32)
    target = np.empty_like(source)

    def best(call: Callable[[], Any]) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    return {
        "flops": 2 * 1024**3 / best(lambda: np.matmul(a, a, out=product)),
        "bytes": 2 * source.nbytes / best(lambda: np.copyto(target, source)),
    }


def peak_memory() -> int:
    """Returns the most bytes that this process has taken."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss counts the process that started this one
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii"))
        if found:
            return int(found[1]) << 10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

"""The best that the processor could do, and the memory that was taken."""

import subprocess
import sys

import numpy as np

from shears.inference.peak import measure_peak, peak_memory
from tests import ROOT


def test_the_peak_is_plausible():
    peak = measure_peak()
    assert 1e8 < peak["flops"] < 1e14
    assert 1e8 < peak["bytes"] < 1e13


def test_the_memory_is_the_processes_own_and_the_most_it_took():
    held = np.ones(80 << 20, np.uint8)  # not counted in a process that starts now
    code = (
        "import numpy as np\n"
        "from shears.inference.peak import peak_memory\n"
        "before = peak_memory()\n"
        "taken = np.ones(40 << 20, np.uint8)\n"
        "del taken\n"
        "print(before, peak_memory())"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.check_output(command, cwd=ROOT, encoding="utf-8")
    before, after = map(int, printed.split())
    assert 35 << 20 < after - before < 60 << 20
    assert before < held.nbytes + (40 << 20) < peak_memory()

"""TensorFlow, imported without the notes that its C++ side writes at start-up."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from shears.runtime.errors import ctrl_c_ends_at_once

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the process' standard error back, and shows it if the block fails.

    TensorFlow logs half a page a process before its own log level counts, which buries
    the lines that say how training goes.
    """
    try:
        kept = tempfile.TemporaryFile()
    except OSError:  # no room for it anywhere: rather noisy than not at all
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(terminal, kept.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


with _quiet(), ctrl_c_ends_at_once():  # it takes seconds
    import tensorflow as tf

    tf.config.list_physical_devices()

__all__ = ["tf"]

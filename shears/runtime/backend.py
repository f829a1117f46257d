"""TensorFlow, imported without the messages that its C++ code prints at start-up."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from shears.runtime.errors import ctrl_c_ends_at_once

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def _quiet() -> Iterator[None]:
    """Holds back the process' standard error and shows it only if the block fails.

    TensorFlow prints half a page per process before its own log level takes effect,
    which buries the lines about training.
    """
    try:
        buffer = tempfile.TemporaryFile()
    except OSError:  # no space for it anywhere: noise is better than a failure
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with buffer:
        os.dup2(buffer.fileno(), 2)
        try:
            yield
        except BaseException:
            buffer.seek(0)
            os.write(terminal, buffer.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


with _quiet(), ctrl_c_ends_at_once():  # the import takes seconds
    import tensorflow as tf

    tf.config.list_physical_devices()

__all__ = ["tf"]

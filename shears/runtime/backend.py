"""TensorFlow, imported without the messages that its C++ code prints at start-up."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from shears.runtime.errors import ctrl_c_ends_at_once

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@contextmanager
def quiet() -> Iterator[None]:
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


@contextmanager
def _without_keras() -> Iterator[None]:
    """Hides Keras, which TensorFlow imports but does not need.

    Keras takes as long to import as TensorFlow itself. It is imported when `tf.keras`
    is first used, which most jobs never do.
    """
    hidden = "keras" not in sys.modules
    if hidden:
        sys.modules["keras"] = None  # type: ignore[assignment]  # an import then fails
    try:
        yield
    finally:
        if hidden:
            del sys.modules["keras"]


with quiet(), _without_keras(), ctrl_c_ends_at_once():  # the import takes seconds
    import tensorflow as tf

    tf.config.list_physical_devices()

__all__ = ["tf"]

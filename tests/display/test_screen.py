"""What is written line by line where there is no terminal."""

import io
import time

from snakemake_logger_plugin_shears import screen
from snakemake_logger_plugin_shears.run import Run

LINE = (
    "12:00:00 x: epoch {}/4  loss 1.0000  validation accuracy 0.5000  "
    "sparsity 0.0000  10 images/s  5:00 left\n"
)


def test_a_long_epoch_is_told_of_once(tmp_path, monkeypatch):
    for name, seconds in (("TICK", 0.01), ("QUIET", 0.0), ("EACH", 0.0)):
        monkeypatch.setattr(screen, name, seconds)
    log, stream, run = tmp_path / "a.log", io.StringIO(), Run(total=1)
    shown = screen.Screen(stream, run)
    run.start(1, "train_baseline", "training", str(log))
    shown.start()
    for epoch in (1, 2):
        log.write_text(LINE.format(epoch), encoding="utf-8")
        until = time.monotonic() + 30
        while f"epoch {epoch}/4" not in stream.getvalue():
            assert time.monotonic() < until, stream.getvalue()
            time.sleep(0.01)
        time.sleep(0.2)  # it looks at the log twenty times more
    shown.stop()
    lines = stream.getvalue().splitlines()
    assert [" ".join(line.split()[:2]) for line in lines] == [
        *("training ...", "epoch 1/4", "epoch 2/4")
    ]

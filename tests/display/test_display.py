"""What a person sees of a run: in a terminal, in a pipe, when it fails or is stopped.

The events are Snakemake's, of a workflow whose jobs only write what ours write.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import ROOT
from tests.terminal import Terminal

SNAKEFILE = """
from snakemake.logging import logger

JOB = workflow.source_path("job.py")
rule all:
    input: "results/a", "results/b"

def find_targets():
    return [str(t) for t in workflow.dag_settings.targets or ()]

logger.info("", extra={"shears": dict(
    results="results", candidates=["dense/seed_0", "lamp/seed_0/round_1"],
    find_targets=find_targets)})

onstart:
    planned = {workflow.dag.jobid(job): (10.0, 1.0, "student")
               for job in workflow.dag.needrun_jobs() if job.log}
    lines = ["time:  about 20 s"]
    logger.info(lines[0], extra={"shears": dict(
        lines=lines, planned=planned, queue=False)})
    for handler in workflow.logger_manager.get_log_handlers():
        handler.capture()

rule train:
    output: "results/{name}"
    log: "logs/{name}.log"
    wildcard_constraints: name="[ab]"
    message: "Training {wildcards.name} for 4 epochs"
    shell: "%s job.py {output} {log} {wildcards.name}"
"""
JOB = """
import json, os, sys, time
sys.path.insert(0, ROOT)
output, log, name = sys.argv[1:]
print("chatter of a library", file=sys.stderr, flush=True)
print("chatter on the other stream", flush=True)
with open(log, "w", encoding="utf-8") as file:
    def say(text):
        print(f"12:00:00 train {name}: {text}", file=file, flush=True)
    for epoch in range(1, 5):
        if name == os.environ.get("FAILS"):
            say("error: training diverged: lower the learning_rate")
            sys.exit(1)
        if name == os.environ.get("DIES"):
            os.kill(os.getpid(), 9)
        say(f"epoch {epoch}/4  loss 1.5000  validation accuracy 0.7{epoch}00  "
            f"sparsity 0.5000  1,234 images/s  0:0{4 - epoch} left")
        while epoch == 2 and os.path.exists("wait"):
            time.sleep(0.1)
for place, score in (("dense/seed_0", 0.4), ("lamp/seed_0/round_1", 0.85)):
    os.makedirs(f"results/{place}", exist_ok=True)
    facts = {"score": score, "accuracy": 0.8, "sparsity": 0.9}
    for split in ("validation", "test"):
        with open(f"results/{place}/score_{split}.json", "w") as file:
            json.dump(facts, file)
with open("results/choice.json", "w") as file:
    json.dump({"candidate": "lamp/seed_0/round_1"}, file)
with open("results/report.html", "w") as file:
    pass
with open(output, "w") as file:
    pass
"""
COMMAND = [sys.executable, "-m", "snakemake", "--cores", "1"]


@pytest.fixture
def folder(tmp_path) -> Path:
    """The workflow."""
    for name in ("shears", "snakemake_logger_plugin_shears"):
        (tmp_path / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    (tmp_path / "Snakefile").write_text(SNAKEFILE % sys.executable, encoding="utf-8")
    job = JOB.replace("ROOT", repr(str(ROOT)))
    (tmp_path / "job.py").write_text(job, encoding="utf-8")
    return tmp_path


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen:
    """Starts the workflow in a pipe, as a process group of its own."""
    kept = {k: v for k, v in os.environ.items() if k != "VERBOSE"}
    return subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env={**kept, "PYTHONUTF8": "1", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )


def run(folder: Path, *arguments: str, **environment: str):
    """Runs the workflow in a pipe."""
    with start(folder, *arguments, **environment) as process:
        shown = process.communicate()[0]
    return subprocess.CompletedProcess(process.args, process.returncode, shown)


def wait_for(folder: Path, text: str) -> None:
    """Waits until a file in the folder has the text."""
    until = time.monotonic() + 120
    while not any(
        text in path.read_text(encoding="utf-8") for path in folder.glob("*")
    ):
        assert time.monotonic() < until, f"{text!r} never came"
        time.sleep(0.1)


@pytest.mark.slow
def test_in_a_pipe_a_run_is_a_line_a_job_and_ends_with_the_result(folder):
    ended = run(folder)
    assert ended.returncode == 0, ended.stdout
    assert "\x1b" not in ended.stdout and "\r" not in ended.stdout
    lines = [re.sub(r" +\d:\d\d$", "", line) for line in ended.stdout.splitlines()]
    assert lines[0].startswith("Using workflow specific profile")
    assert lines[1] == "time:  about 20 s"
    assert sorted(lines[2:4]) == [f"✓ Training {x} for 4 epochs" for x in "ab"]
    result = "\n".join(lines[4:])
    chosen = r"^→ lamp/seed_0/round_1 +0\.8500 +0\.8000 +0\.9000 +\+0\.1500$"
    assert re.search(chosen, result, re.M)
    assert re.search(r"^  dense/seed_0 +0\.4000 ", result, re.M)
    assert "\n2 jobs done in\n" in result
    assert lines[-1] == "report:     results/report.html"
    logs = sorted((folder / ".snakemake/log").iterdir())
    kept = "".join(path.read_text(encoding="utf-8") for path in logs)
    assert kept.count("chatter of a library") == 2
    assert kept.count("chatter on the other stream") == 2
    assert "Select jobs to execute" in kept

    again = run(folder)
    assert again.returncode == 0
    assert "Nothing to be done: all files are up to date." in again.stdout
    assert again.stdout.splitlines()[-1] == "report:     results/report.html"
    one = run(folder, "results/a", "--forceall")
    assert one.stdout.splitlines()[-1] == "made:       results/a"
    assert "dense" not in one.stdout


@pytest.mark.slow
def test_a_failure_ends_with_its_cause_what_to_do_and_the_log(folder):
    ended = run(folder, FAILS="a", DIES="b")
    assert ended.returncode == 1
    for noise in ("CalledProcessError", "RuleException", "Exiting because", "chatter"):
        assert noise not in ended.stdout
    assert "✗ Training a for 4 epochs: failed" in ended.stdout
    last = ended.stdout.splitlines()[-5:]
    assert last[0].startswith("Finished files are kept")
    causes = ["\n".join(last[1:3]), "\n".join(last[3:5])]
    assert sorted(causes) == [
        "error: Training a for 4 epochs: training diverged: lower the learning_rate\n"
        "       more in logs/a.log",
        "error: Training b for 4 epochs: the job was killed, most often for lack of "
        "memory: close other programs and run again\n"
        "       more in logs/b.log",
    ]
    verbose = run(folder, FAILS="a", VERBOSE="1")
    assert verbose.returncode == 1
    assert "Exiting because a job execution failed" in verbose.stdout
    assert "chatter of a library" in verbose.stdout


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 120])
def test_in_a_terminal_what_runs_is_shown_and_nothing_of_it_is_left(folder, columns):
    (folder / "wait").touch()
    terminal = Terminal(COMMAND, folder, columns=columns)
    terminal.wait_for("epoch 2/4")
    terminal.wait_for("about")
    shown = terminal.screen.text.splitlines()
    assert max(map(len, shown)) <= columns
    assert re.search(r"^▸ Training [ab] for 4 epochs +\d:\d\d left$", shown[-3])
    assert re.match(
        r"  epoch 2/4  [━╸╺ ]+  1,234 images/s  accuracy 0.7200  sparsity 0.5000",
        shown[-2],
    )
    assert re.search(
        r"━+ 0/2 jobs  \d:\d\d, about \d:\d\d left, until \d\d:\d\d$", shown[-1]
    )
    assert not terminal.screen.cursor_shown
    (folder / "wait").unlink()
    assert terminal.end() == 0, terminal.screen.text
    assert terminal.screen.cursor_shown
    assert "━━" not in terminal.screen.text and "▸" not in terminal.screen.text
    assert terminal.screen.text.count("✓ Training") == 2
    assert "chatter" not in terminal.raw
    assert terminal.screen.text.endswith("report:     results/report.html")


@pytest.mark.slow
def test_ctrl_c_leaves_the_terminal_clean_and_the_run_resumes(folder):
    (folder / "wait").touch()
    terminal = Terminal(COMMAND, folder, columns=120)
    terminal.wait_for("epoch 2/4")
    terminal.resize(80)
    terminal.wait_for("▸ Training", seconds=10)
    deadline = time.monotonic() + 30
    while "\x1b[2J" not in terminal.read():
        assert time.monotonic() < deadline
    terminal.read()
    shown = terminal.screen.text.splitlines()
    assert max(map(len, shown)) <= 80
    assert sum("epoch 2/4" in line for line in shown) == 1
    terminal.interrupt()
    assert terminal.end() != 0
    assert terminal.screen.cursor_shown
    assert "━━" not in terminal.screen.text and "▸" not in terminal.screen.text
    last = terminal.screen.text.splitlines()[-2:]
    assert " ".join(last).startswith("Interrupted. Finished files are kept"), last
    (folder / "wait").unlink()
    again = run(folder)
    assert again.returncode == 0
    assert again.stdout.count("✓ Training") == 2


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [True, False])
def test_sigterm_is_no_failure_and_the_run_resumes(folder, whole_group):
    (folder / "wait").touch()
    with start(folder) as process:
        try:
            wait_for(folder / "logs", "epoch 2/4")
            (os.killpg if whole_group else os.kill)(process.pid, signal.SIGTERM)
            if not whole_group:
                assert any("Will stop" in line for line in process.stdout)
                (folder / "wait").unlink()
        except BaseException:  # leaving the block waits for the process
            os.killpg(process.pid, signal.SIGKILL)
            raise
        shown = process.communicate()[0]
    assert process.returncode == 1
    assert shown.count("✓ Training") == (0 if whole_group else 1)
    assert "failed" not in shown and "error" not in shown
    assert shown.splitlines()[-1].startswith("Interrupted. Finished files are kept")
    (folder / "wait").unlink(missing_ok=True)
    again = run(folder)
    assert again.returncode == 0
    assert again.stdout.count("✓ Training") == (2 if whole_group else 1)


@pytest.mark.slow
def test_a_missing_rich_or_an_own_choice_leaves_snakemakes_display(folder):
    package = folder / "snakemake_logger_plugin_shears"
    package.unlink()
    shutil.copytree(ROOT / package.name, package)
    path = package / "__init__.py"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"rich"', '"rich_is_missing"'), encoding="utf-8")
    ended = run(folder)
    assert ended.returncode == 0
    assert "Select jobs to execute" in ended.stdout
    planned = run(folder, "-n", "--forceall")
    assert "This was a dry-run" in planned.stdout and "Job stats" in planned.stdout

"""Slurm's commands are small scripts here; tests/slurm/ has the real ones."""

import os
import signal
import subprocess
import sys
import time

import pytest

from shears.runtime import slurm
from shears.runtime.errors import UserError
from shears.runtime.slurm import check_slurm, find_slurm_gpus
from tests import ROOT

ANSWERS = {
    "sbatch": "echo slurm 24",
    "scancel": "",
    "sacct": "",
    "squeue": "",
    "sshare": "echo main",
    "sacctmgr": "echo; echo main; echo Guests",
    "sinfo": "echo 'cpu*'; echo gpu",
}


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Returns a function that writes commands, and leaves out those that are None."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("SBATCH_PARTITION", raising=False)

    def write(**changes: str | None) -> None:
        for name, body in (ANSWERS | changes).items():
            if body is not None:
                path = tmp_path / "bin" / name
                path.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
                path.chmod(0o755)

    return write


def refusal(*arguments) -> str:
    """Returns why a check fails, in one line."""
    with pytest.raises(UserError) as caught:
        check_slurm(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("status", ["sacct", "squeue"])
@pytest.mark.parametrize("partition", ["", "cpu", "gpu", "cpu,gpu"])
@pytest.mark.parametrize("account", ["", "MAIN", "main, guests"])
def test_a_cluster_that_works_is_accepted(commands, status, partition, account):
    commands()
    check_slurm(status, {partition}, {account} - {""})


@pytest.mark.parametrize("name", ["sbatch", "scancel", "sacct", "sacctmgr", "sinfo"])
def test_a_missing_command_is_named(commands, name):
    commands(**{name: None})
    assert refusal("squeue", {""}, set()).startswith(f"{name}: not found on the PATH; ")


def test_all_missing_commands_are_named_at_once(commands):
    assert refusal("sacct", {""}, set()).startswith("sbatch, scancel, sinfo, sacct, ")


@pytest.mark.parametrize("name", ["sbatch", "sacct", "sinfo"])
def test_a_command_that_refuses_is_quoted(commands, name):
    commands(**{name: f"echo '{name}: error: no\x1b controller' >&2; exit 3"})
    line = refusal("sacct", {""}, set())
    assert line.startswith(f"{name}: exit code 3 ({name}: error: no\\x1b controller); ")


def test_accounting_that_is_off_has_a_replacement(commands):
    commands(sacct="echo Slurm accounting storage is disabled >&2; exit 1")
    line = refusal("sacct", {""}, set())
    assert "storage is disabled" in line and "--slurm-status-command squeue" in line
    check_slurm("squeue", {""}, set())
    commands(squeue="exit 1")
    assert refusal("squeue", {""}, set()).startswith("squeue: exit code 1")


@pytest.mark.parametrize("name", ["sbatch", "sacct", "sinfo"])
@pytest.mark.parametrize("body", ["exec /bin/sleep 20", "/bin/sleep 20 & wait"])
def test_a_command_that_hangs_is_left(commands, monkeypatch, name, body):
    monkeypatch.setattr(slurm, "ANSWER", 0.5)
    commands(**{name: body})
    began = time.monotonic()
    assert refusal("sacct", {""}, set()).startswith(f"{name}: no answer within 0.5 sec")
    assert time.monotonic() - began < 10


def test_a_command_that_is_no_program_is_named(commands, tmp_path):
    commands()
    (tmp_path / "bin/sbatch").write_bytes(b"\0")
    assert refusal("sacct", {""}, set()).startswith("sbatch: Exec format error; ")


def test_a_partition_that_does_not_exist_is_named(commands, monkeypatch):
    commands()
    line = refusal("sacct", {"cpu,nope"}, set())
    assert line == (
        "slurm_partition: no partition nope; Slurm has cpu, gpu: set slurm_partition "
        "in profiles/slurm/config.yaml"
    )
    commands(sinfo="echo gpu")
    assert "there is no default one; Slurm has gpu" in refusal("sacct", {""}, set())
    monkeypatch.setenv("SBATCH_PARTITION", "gpu")
    check_slurm("sacct", {""}, set())


def test_an_account_that_the_user_lacks_is_named(commands):
    commands()
    line = refusal("sacct", {""}, {"main, nope"})
    assert "has no account nope, only guests, main: set" in line
    commands(sacctmgr="exit 1")
    check_slurm("sacct", {""}, {"main"})
    assert "has no account guests, only main" in refusal("sacct", {""}, {"guests"})


@pytest.mark.parametrize(
    ("partitions", "partition", "expected"),
    [
        ("main* gpu:a100:4", "", 1),
        ("main* (null)", "", 0),
        ("main* (null)\ngpu gpu:4", "", 0),  # jobs go to the default partition
        ("main* (null)\ngpu gpu:4", "gpu", 1),
        ("main* gpu:4\ncpu (null)", "cpu", 0),
        ("gpus (null)", "gpu", 0),
    ],
)
def test_gpus_are_those_of_the_partition(
    commands, monkeypatch, partitions, partition, expected
):
    commands(sinfo=f"printf '{partitions}\\n'")
    monkeypatch.setenv("SBATCH_PARTITION", partition)
    assert find_slurm_gpus() == expected


@pytest.mark.parametrize("body", [None, "exit 1", "exec /bin/sleep 20"])
def test_without_an_answer_there_are_no_gpus(commands, monkeypatch, body):
    monkeypatch.setattr(slurm, "ANSWER", 0.5)
    commands(sinfo=body)
    assert find_slurm_gpus() == 0


RUN = """
import sys
import threading
import time
from shears.runtime import slurm

slurm.END = 1
slurm.end_on_signals()
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("cancels", flush=True)
    if sys.argv[1] == "ends":
        sys.exit(1)
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()  # as if for a thread whose command does not answer
"""


def run(how: str, number: int) -> "subprocess.Popen[str]":
    """Starts a run and sends it a signal."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, how],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    assert process.stdout.readline() == "cancels\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_even_if_slurm_does_not_answer(number):
    process = run("ends", number)
    assert process.wait(20) == 1 and process.stderr.read() == ""
    process = run("hangs", number)
    assert process.wait(20) == 1
    assert process.stderr.read().startswith(
        "error: stopped after 1 seconds: look with "
    )


def test_a_second_signal_ends_a_run_at_once():
    process = run("hangs", signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == -signal.SIGINT

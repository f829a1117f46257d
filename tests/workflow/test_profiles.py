"""The profiles, without Slurm; tests/slurm/ has a real one."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests import ROOT
from tests.file_systems import read_only, without_write_permission
from tests.workflow.project import TINY, copy_project, snakemake, wait_for

BAD = {
    "no file": (None, "No such file or directory"),
    "not UTF-8": (b"seeds: \xff", "not a text file in UTF-8"),
    "an impossible date": (b"seeds: 2020-13-45", "cannot be read as timestamp"),
    "a value that is no bool": (b"tensorboard: !!bool x", "cannot be read as bool"),
    "a mapping in itself": (b"recipes: &a {x: *a}", "found more than 100 levels"),
    "a list": (b"- seeds", "expected a mapping of keys"),
}


@pytest.mark.parametrize("profile", ["default", "slurm"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_configfile_is_refused_in_a_line_before_snakemake_reads_it(
    kind, profile, tmp_path
):
    content, message = BAD[kind]
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_bytes(content)
    profile = f"{ROOT}/profiles/{profile}"
    arguments = ("-n", "-s", f"{ROOT}/Snakefile", "--workflow-profile", profile)
    run = snakemake(tmp_path, *arguments, "--configfile", "own.yaml")
    assert run.returncode == 1
    _, line = run.stdout.splitlines()  # the first one names the profile
    assert line.startswith("error: own.yaml: ")
    assert message in line


# Slurm's commands as small scripts: jobs are submitted and stay pending.
PENDING = {
    "sbatch": "echo 17",
    "scancel": 'echo "$@" >> "$CANCELLED"',
    "sacct": "",
    "sacctmgr": "",
    "squeue": "",
    "sinfo": "echo 'main*'",
    "scontrol": "",
}
PROFILE = ["--workflow-profile", "profiles/slurm", "results/dataset.h5"]


def start(
    project: Path, folder: Path, **commands: str | None
) -> "subprocess.Popen[str]":
    """Starts a run with the Slurm profile and these commands."""
    bin_ = folder / "bin"
    bin_.mkdir()
    for name, body in commands.items():
        if body is not None:
            (bin_ / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
            (bin_ / name).chmod(0o755)
    path = os.pathsep.join([str(bin_), "/usr/bin", "/bin"])
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "all", *PROFILE],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env={**os.environ, "PATH": path, "CANCELLED": str(folder / "cancelled")},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def refusal(run: "subprocess.Popen[str]") -> str:
    """Returns the line that ends a run before its first job."""
    printed, _ = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "Traceback" not in printed and "Execute " not in printed
    (line,) = (x for x in printed.splitlines() if x.startswith("error: "))
    return line


@pytest.mark.slow
@pytest.mark.skipif(bool(shutil.which("sbatch")), reason="this machine has a Slurm")
def test_without_slurm_the_profile_ends_in_one_line(project, tmp_path):
    line = refusal(start(project, tmp_path))
    assert line.startswith("error: sbatch, scancel, sinfo, sacct, sacctmgr: not found")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"sinfo": "exit 1"}, "error: sinfo: exit code 1"),
        ({"sinfo": "echo other"}, "error: slurm_partition: there is no default one"),
        ({"sacct": "echo it is off >&2; exit 1"}, "error: sacct: exit code 1 (it is"),
    ],
)
def test_a_slurm_that_refuses_ends_the_profile_in_one_line(
    project, tmp_path, changes, expected
):
    assert refusal(start(project, tmp_path, **(PENDING | changes))).startswith(expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_jobs_and_ends_the_profile(project, tmp_path, number):
    with start(project, tmp_path, **PENDING) as run:
        wait_for(run, "has been submitted")
        time.sleep(2)  # the plugin notes what it has to cancel only now
        run.send_signal(number)
        try:
            assert run.wait(100) == 1
        finally:
            run.kill()
    assert (tmp_path / "cancelled").read_text(encoding="utf-8").split() == ["17"]


def test_the_profile_names_rules_that_exist():
    text = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk")
    )
    heads = r"^ *(?:rule|checkpoint|use rule \w+ as) (\w+)"
    rules = set(re.findall(heads, text, re.M))
    profile = yaml.safe_load(
        (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
    )
    for key in ("set-threads", "groups", "set-resources"):
        assert profile[key].keys() <= rules, key
    assert set(profile["group-components"]) <= set(profile["groups"].values())
    # Whatever runs a network: its threads must not depend on the machine.
    networks = {
        rule
        for rule in rules
        if re.match(
            "train|save|prune|run_pruning|score_c|measure|leader|refit_(?!dataset)",
            rule,
        )
    }
    assert networks == set(profile["set-threads"])


@pytest.mark.parametrize("home", ["closed", "missing"])
def test_a_home_folder_that_may_not_be_written_is_not_needed(tmp_path, home):
    project = copy_project(tmp_path / "project", **TINY)
    closed = tmp_path / "home"
    closed.mkdir()
    place = closed / "none" if home == "missing" else closed
    environment = {k: v for k, v in os.environ.items() if k != "XDG_CACHE_HOME"}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "prepare_dataset"]
    with read_only(closed):
        run = subprocess.run(
            without_write_permission(command),
            cwd=project,
            capture_output=True,
            encoding="utf-8",
            env={**environment, "HOME": str(place)},
        )
    assert run.returncode == 0, run.stderr[-3000:]
    assert (project / ".snakemake/cache").is_dir()

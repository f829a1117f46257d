"""A disturbed sweep through a real Slurm, against the same sweep on this machine.

`make test-slurm` installs Debian's packages and starts their daemons, as root.
"""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import yaml

from shears.runtime.slurm import find_slurm_gpus
from tests.slurm.cluster import Cluster, run, why_not
from tests.workflow.project import ROOT, copy_project, snakemake

METHODS, SEEDS = ("lamp", "erk", "global"), (0, 1, 2)
SWEEP = {
    "seeds": list(SEEDS),
    "run": list(METHODS),
    "baselines": {"dense": {"teacher": "none"}},
    "pruning": {"teacher": "none", "rounds": [{"sparsity": 0.9, "epochs": 12}]},
    "optimizers": {"data_sets": ["diabetes"], "updates": 200, "rates": 2},
}
THREADS = {"train_baseline": 1, "prune_round": 1}  # two jobs fit two cores
# This cluster has no accounting database, and no other users to spare from polling.
HERE = [
    *("--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "1"),
    *("--seconds-between-status-checks", "1"),
    *("--set-threads", *(f"{rule}={n}" for rule, n in THREADS.items())),
    *("--config", "gpus=0"),  # with the one fake GPU, jobs would run one at a time
]
PROFILE = yaml.safe_load(
    (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
)


@pytest.fixture(scope="module")
def cluster():
    reason = why_not()
    if reason:
        pytest.skip(reason)
    cluster = Cluster()
    yield cluster
    cluster.stop()


class Run:
    """A run of Snakemake in the background, with what it has printed so far."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "snakemake", *arguments]
        self.printed = ""
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error) -> None:
        self.process.kill()  # if the test failed before the run ended

    def _read(self) -> None:
        for line in self.process.stdout:
            self.printed += line

    def wait_for(self, check, seconds: float = 300):
        """Waits until a function returns something true; returns that."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            value = check()
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"waited in vain:\n{self.printed[-5000:]}")


def training_rounds(project: Path) -> list[psutil.Process]:
    """Finds the rounds in training, if each of them has saved a state; else none."""
    processes = []
    for process in psutil.process_iter(["cmdline", "create_time"]):
        line = " ".join(process.info["cmdline"] or ())
        if f"{project}/.snakemake/scripts" in line and "prune_round" in line:
            processes.append(process)
    since = min((process.info["create_time"] for process in processes), default=0)
    states = project.glob("checkpoints/*/seed_*/round_1.npz")
    fresh = [path for path in states if path.stat().st_mtime > since]
    return processes if len(fresh) >= len(processes) else []


def disturb(cluster: Cluster, project: Path, sweep: Run) -> None:
    """Kills a job of a sweep, and then the node with everything that runs on it."""
    # Snakemake submits the job again, with more memory.
    sweep.wait_for(lambda: training_rounds(project))[0].send_signal(signal.SIGKILL)
    sweep.wait_for(lambda: "Trying to restart job" in sweep.printed)

    # The node comes back, and Slurm restarts its jobs.
    sweep.wait_for(lambda: training_rounds(project))
    lost = run("squeue", "--noheader", "--states=R", "--format=%i").split()
    cluster.kill_node()
    cluster.wait("sinfo", "--noheader", "--format=%T", until="down")
    cluster.start_node()
    for job in lost:
        cluster.wait("scontrol", "show", "job", job, until="Restarts=1")


def test_a_disturbed_sweep_ends_in_the_same_submission(cluster, tmp_path):
    local = copy_project(tmp_path / "local", **SWEEP)
    threads = {**PROFILE["set-threads"], **THREADS}
    how = ["--set-threads", *(f"{rule}={n}" for rule, n in threads.items())]
    run_here = snakemake(local, "results/submission/my_model_weights.h5", *how)
    assert run_here.returncode == 0, run_here.stdout[-5000:]

    project = copy_project(tmp_path / "cluster", **SWEEP)
    with Run(project, "--workflow-profile", "profiles/slurm", *HERE) as sweep:
        disturb(cluster, project, sweep)
        assert sweep.process.wait(600) == 0, sweep.printed[-5000:]
    jobs = run("squeue", "--noheader", "--states=all", "--format=%m %k")
    memory = {line.split()[0] for line in jobs.splitlines() if "prune_round" in line}
    assert memory == {"3000M", "6000M"}
    logs = [
        path.read_text(encoding="utf-8")
        for path in project.glob("logs/*/*/round_1/prune_round.log")
    ]
    assert len(logs) == 9
    assert any("resuming after epoch" in text for text in logs)

    for name in ("submission/my_model_weights.h5", "choice.json"):
        expected = (local / "results" / name).read_bytes()
        assert (project / "results" / name).read_bytes() == expected, name
    weights = sorted(path.relative_to(local) for path in local.rglob("weights.h5"))
    assert len(weights) == len(SEEDS) * (1 + len(METHODS))
    for name in weights:
        assert (project / name).read_bytes() == (local / name).read_bytes(), name

    page = (project / "results/report.html").read_text(encoding="utf-8")
    means = page.split('<table id="means">')[1].split("</table>")[0]
    for method in METHODS:
        row = rf"<td>{method}</td><td>1</td><td>3</td>(\s*<td>0\.\d+</td>){{6}}"
        assert re.search(row, means), means


def test_short_jobs_share_a_slurm_job(cluster):
    jobs = run("squeue", "--noheader", "--states=all", "--format=%k")
    rules = [line.split("_wildcards")[0] for line in jobs.splitlines()]
    assert sum("score_candidate" in rule for rule in rules) == 1  # of twelve
    assert sum("benchmark_optimizer" in rule for rule in rules) == 1  # of eight
    assert sum("score_report" in rule or "ending" in rule for rule in rules) == 1


def test_a_gpu_is_requested_if_the_partition_has_one(cluster, tmp_path):
    assert find_slurm_gpus() == 1
    small = {**SWEEP, "seeds": [0], "run": [], "optimizers": {"data_sets": []}}
    project = copy_project(tmp_path / "gpu", **small)
    target = "results/dense/seed_0/weights.h5"
    here = HERE[: HERE.index("--config")]
    with Run(project, target, "--workflow-profile", "profiles/slurm", *here) as sweep:
        assert sweep.process.wait(200) == 0, sweep.printed[-5000:]
    jobs = run("scontrol", "show", "jobs").split("\n\n")
    train_jobs = [text for text in jobs if "rule_train_baseline" in text]
    assert sum("TresPerJob=gres:gpu:1" in text for text in train_jobs) == 1
    assert os.environ.get("SHEARS_GPUS") is None

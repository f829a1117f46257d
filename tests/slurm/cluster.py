"""A real Slurm on this machine: one node, from Debian's packages.

Needs root. The configuration is /etc/slurm/slurm.conf, because the executor plugin does
not pass SLURM_CONF to the steps of a job. One that is not ours is left alone. Ours is
removed at the end: whenever Snakemake's plugin is imported, it contacts the controller
in the configuration, and waits nine seconds if that is gone.
"""

import contextlib
import os
import platform
import re
import shutil
import subprocess
import time
from pathlib import Path

import psutil

CONFIGURATION = Path("/etc/slurm/slurm.conf")
GPUS = CONFIGURATION.with_name("gres.conf")
STATE = Path("/var/lib/shears-slurm")
OURS = "# Written by Shears' tests.\n"
PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
# Slurm allocates memory and cores but does not enforce them, so it needs no cgroups.
TEMPLATE = """\
ClusterName=shears
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
StateSaveLocation={state}/controller
SlurmdSpoolDir={state}/node
SlurmctldPidFile={state}/slurmctld.pid
SlurmdPidFile={state}/slurmd.pid
SlurmctldLogFile={state}/slurmctld.log
SlurmdLogFile={state}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
ReturnToService=2
MinJobAge=3600
SlurmdTimeout=10
SchedulerParameters=sched_interval=1,batch_sched_delay=0
GresTypes=gpu
{node} Gres=gpu:1
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def run(*command: str) -> str:
    """Runs a command that must succeed; returns what it prints."""
    result = subprocess.run(command, capture_output=True, encoding="utf-8")
    assert result.returncode == 0, (
        f"{command}: {result.stdout[-2000:]}{result.stderr[-2000:]}"
    )
    return result.stdout


def why_not() -> str | None:
    """Returns why there can be no cluster here; None if there can."""
    if os.geteuid() != 0:
        return "Slurm's daemons need root"
    if CONFIGURATION.exists() and not CONFIGURATION.read_text(
        encoding="utf-8"
    ).startswith(OURS):
        return f"{CONFIGURATION} is not ours: this machine belongs to a cluster"
    if not all(map(shutil.which, ("slurmctld", "slurmd", "sbatch", "munged"))):
        if not shutil.which("apt-get"):
            return "Slurm is not installed and there is no apt-get"
        subprocess.run(["apt-get", "update", "-qq"], capture_output=True)
        install = ["apt-get", "install", "-qq", "-y", *PACKAGES]
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        result = subprocess.run(
            install, capture_output=True, encoding="utf-8", env=quiet
        )
        if result.returncode:
            return f"Slurm cannot be installed: {result.stderr.strip()[-200:]}"
    return None


class Cluster:
    """The daemons of a cluster of one node."""

    def __init__(self) -> None:
        """Starts them from an empty state."""
        self.stop()
        shutil.rmtree(STATE, ignore_errors=True)
        for name in ("controller", "node"):
            (STATE / name).mkdir(parents=True)
        CONFIGURATION.parent.mkdir(parents=True, exist_ok=True)
        node = run("slurmd", "-C").splitlines()[0]
        text = TEMPLATE.format(host=platform.node(), state=STATE, node=node)
        CONFIGURATION.write_text(OURS + text, encoding="utf-8")
        # No driver checks it: Slurm allocates it like a GPU.
        GPUS.write_text(f"{OURS}Name=gpu File=/dev/zero\n", encoding="utf-8")
        Path("/run/munge").mkdir(exist_ok=True)
        shutil.chown("/run/munge", "munge", "munge")
        if subprocess.run(["munge", "-n"], capture_output=True).returncode:
            run("runuser", "-u", "munge", "--", "/usr/sbin/munged", "--force")
        run("slurmctld")
        self.start_node()

    def start_node(self) -> None:
        """Starts the node's daemon and waits until the node is ready."""
        run("slurmd")
        self.wait("sinfo", "--noheader", "--format=%T", until="idle|mixed|allocated")

    def kill_node(self) -> None:
        """Kills the node and everything that runs on it, as a power failure does."""
        node = psutil.Process(int((STATE / "slurmd.pid").read_text(encoding="utf-8")))
        steps = [p for p in psutil.process_iter(["name"]) if "slurmstepd" in p.name()]
        doomed = [node, *steps, *(c for p in steps for c in p.children(recursive=True))]
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def wait(self, *command: str, until: str, seconds: float = 60) -> str:
        """Repeats a command until its output has a match; returns the output."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            output = subprocess.run(
                command, capture_output=True, encoding="utf-8"
            ).stdout
            if re.search(until, output):
                return output
            time.sleep(0.5)
        raise AssertionError(f"{' '.join(command)}: no {until!r} in {output!r}")

    def stop(self) -> None:
        """Stops the daemons and removes their configuration."""
        for name in ("slurmstepd", "slurmd", "slurmctld"):
            subprocess.run(["pkill", "-KILL", "-x", name])
        for path in (CONFIGURATION, GPUS):
            if path.exists() and path.read_text(encoding="utf-8").startswith(OURS):
                path.unlink()

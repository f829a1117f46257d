"""Slurm, checked before a run submits its first job.

Snakemake's plugin does not expect that a command is missing, fails or does not answer:
a group of jobs that it cannot submit counts as running for ever.
"""

import getpass
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Collection
from types import FrameType

from shears.runtime.errors import UserError, brief

COMMANDS = ("sbatch", "scancel", "sinfo", "sacct", "sacctmgr")  #: that the plugin calls
ANSWER = 30  #: seconds that a command has to answer
END = 75  #: seconds that a run has to cancel its jobs; scancel alone may take 60
PROFILE = "profiles/slurm/config.yaml"


def check_slurm(
    status_command: str, partitions: Collection[str], accounts: Collection[str]
) -> None:
    """Checks that Slurm is here and will take a run's jobs.

    Args:
        status_command: What says how jobs are: "sacct" or "squeue".
        partitions: Those that jobs are submitted to; "" is the default one.
        accounts: Those that jobs are submitted under.

    Raises:
        UserError: A command is missing, fails or does not answer, or there is no such
            partition or account.
    """
    missing = [name for name in COMMANDS if not shutil.which(name)]
    if missing:
        raise UserError(
            f"{', '.join(missing)}: not found on the PATH; the Slurm profile needs it: "
            "run on a machine that submits to Slurm, or without --workflow-profile"
        )
    _ask("sbatch", "--version")
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = str(os.geteuid())
    if status_command == "squeue":
        _ask("squeue", "--noheader", f"--user={user}")
    else:
        advice = "without a database, add --slurm-status-command squeue"
        _ask("sacct", "--noheader", "--allocations", "--starttime=now", advice=advice)
    _check_partitions(partitions)
    if accounts:
        _check_accounts(accounts, user)


def _check_partitions(partitions: Collection[str]) -> None:
    listed = _ask("sinfo", "--noheader", "--all", "--format=%P").split()
    known = sorted({name.removesuffix("*") for name in listed})
    found = f"Slurm has {', '.join(known) or 'none'}: set slurm_partition in {PROFILE}"
    for names in sorted(partitions):
        for name in filter(None, names.split(",")):
            if name not in known:
                raise UserError(f"slurm_partition: no partition {name}; {found}")
    default = any(name.endswith("*") for name in listed)
    if "" in partitions and not default and "SBATCH_PARTITION" not in os.environ:
        raise UserError(f"slurm_partition: there is no default one; {found}")


def _check_accounts(accounts: Collection[str], user: str) -> None:
    try:
        listed = _ask(
            "sacctmgr", "-n", "-s", "list", "user", user, "format=account%256"
        )
    except UserError:  # where there are several clusters
        listed = _ask("sshare", "-U", "--noheader", "--format=Account%256")
    known = {name.lower() for name in listed.split()}
    for name in sorted(
        {part for text in accounts for part in re.split(r"[,\s]+", text)}
    ):
        if known and name and name.lower() not in known:
            raise UserError(
                f"slurm_account: {user} has no account {name}, only "
                f"{', '.join(sorted(known))}: set slurm_account in {PROFILE}"
            )


def find_slurm_gpus() -> int:
    """Returns how many GPUs a training job can have to itself: one or none.

    Returns:
        1 if there are GPUs in the partition that jobs are submitted to
        (SBATCH_PARTITION, else the default one); else 0, also if Slurm does not answer.
    """
    try:
        rows = _ask("sinfo", "--noheader", "--format=%P %G").split("\n")
    except UserError:  # `check_slurm` says it before the first job
        return 0
    partition = os.environ.get("SBATCH_PARTITION", "")
    used = [row for row in rows if partition and row.startswith(f"{partition} ")]
    used += [row for row in rows if not partition and "* " in row]
    return int(any("gpu" in row.partition(" ")[2] for row in used))


def _ask(command: str, *arguments: str, advice: str = "is Slurm running?") -> str:
    """Returns what a command of Slurm prints.

    Raises:
        UserError: It fails or does not answer.
    """
    # Files, not pipes: a pipe stays open while a child of the command lives.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        try:
            code = subprocess.run(
                [command, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                timeout=ANSWER,
            ).returncode
        except subprocess.TimeoutExpired:
            raise UserError(
                f"{command}: no answer within {ANSWER} seconds; {advice}"
            ) from None
        except OSError as error:
            raise UserError(f"{command}: {error.strerror}; {advice}") from None
        output.seek(0)
        errors.seek(0)
        printed = output.read().decode(errors="replace")
        if code:
            reason = brief(errors.read().decode(errors="replace") or printed)
            raise UserError(f"{command}: exit code {code} ({reason}); {advice}")
    return printed


def end_on_signals() -> None:
    """Lets Ctrl-C and SIGTERM end a run that submits to Slurm, and cancel its jobs.

    Otherwise SIGTERM would wait until all jobs have ended, and both would wait for a
    command that does not answer. A second signal ends the run at once.
    """
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM)
        if signal.getsignal(number) != signal.SIG_IGN  # as in a shell's background job
    ]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, give_up)
        signal.alarm(END)
        raise KeyboardInterrupt  # Snakemake cancels the jobs

    def give_up(number: int, frame: FrameType | None) -> None:
        sys.stderr.write(
            f"error: stopped after {END} seconds: look with squeue whether jobs are "
            "left, and cancel them with scancel\n"
        )
        sys.stderr.flush()
        os._exit(1)

    for number in numbers:
        signal.signal(number, stop)

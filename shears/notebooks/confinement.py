"""Locks a notebook's kernel in: a user of its own, limits, and few files.

The kernel is started by a small process that gives up what a notebook does not need and
then becomes the kernel. What the machine does not allow is left out and named.
"""

import json
import os
import pwd
import random
import resource
import site
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

import shears
from shears.runtime.kernel_walls import raise_program_walls

if TYPE_CHECKING:  # the small process need not import Jupyter
    import shears.notebooks.limits

#: User ids that nobody else has: systemd's range for such users.
USERS = range(61184, 65520)
STANDING = "walls.json"  # written into the folder before the kernel starts
OPEN_FILES = 1024
SPARE = 4 << 30  # bytes that a process may ask for beyond what all may use
#: Files that Python, its libraries and programs read.
READABLE = (
    *("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/proc", "/sys/devices"),
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
    *("/etc/ssl", "/etc/pki", "/etc/fonts", "/etc/localtime", "/etc/passwd"),
    *("/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/mime.types"),
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/os-release"),
)
#: Environment variables that a kernel is given, if they are set.
VARIABLES = (
    *("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT"),
    *("LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH"),
)
_CHILD = """\
import json, sys
options = json.loads(sys.argv[1])
sys.path[:] = options.pop("path")
from shears.notebooks.confinement import become
become(**options)
"""
# Whether another user can run this Python, and use the folder.
_TRIAL = """\
import importlib.util, os, sys
os.listdir(sys.argv[1])
sys.exit(importlib.util.find_spec("ipykernel") is None)
"""


class Confinement:
    """Locks kernels in; one of `shears.notebooks.execution.Walls`."""

    def command(
        self,
        kernel: list[str],
        folder: str,
        limits: "shears.notebooks.limits.Limits",
    ) -> list[str]:
        """Returns the command that starts a kernel behind walls.

        Args:
            kernel: The command that starts it without.
            folder: Its private folder, the only one that it may write to.
            limits: What its processes may use.
        """
        user = free_user(folder)
        resources = {
            "CPU": limits.processor + 2,  # of each; the sum is watched
            "DATA": limits.memory + SPARE,
            "FSIZE": limits.files,
            "NOFILE": OPEN_FILES,
            "CORE": 0,
        }
        if user is not None:  # the system counts all processes and threads of a user
            resources["NPROC"] = limits.processes + _threads()
        # Without this, !commands need a terminal, which belongs to a session.
        system = "get_ipython().system = get_ipython().system_raw"
        kernel = [*kernel, f"--IPKernelApp.exec_lines={system}"]
        return _start(kernel, folder, user, resources, _runs_with_few_files())

    def environment(self, folder: str) -> dict[str, str]:
        """Returns the only environment variables that a kernel is given."""
        kept = {name: os.environ[name] for name in VARIABLES if name in os.environ}
        user_packages = {"PYTHONUSERBASE": site.getuserbase()}
        return {
            **kept,
            **(user_packages if site.ENABLE_USER_SITE else {}),
            "HOME": folder,
            "TMPDIR": folder,
            "USER": "student",
            "LOGNAME": "student",
            "CUDA_VISIBLE_DEVICES": "-1",  # Landlock leaves no devices
        }

    def standing(self, folder: str) -> list[str]:
        """Returns "user" if it has one of its own, and what `raise_program_walls` does.

        Args:
            folder: The kernel's folder, before anything of the notebook has run.
        """
        return json.loads(Path(folder, STANDING).read_text(encoding="utf-8"))


def _threads() -> int:
    """Returns how many threads Jupyter and TensorFlow may have on this machine."""
    return 256 + 16 * (os.cpu_count() or 1)


def free_user(folder: str) -> int | None:
    """Returns a user id for a kernel in a folder; None if it has to keep this one.

    That is if it is not root, or if others may not run this Python, for example because
    it is in root's home folder.
    """
    if os.geteuid() != 0 or not _others_can_run_python(os.path.dirname(folder)):
        return None
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    for process in psutil.process_iter(["uids"]):
        taken |= set(process.info["uids"] or ())
    free = [user for user in USERS if user not in taken]
    return random.SystemRandom().choice(free) if free else None


@cache
def _others_can_run_python(folder: str) -> bool:
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL, folder],
            user=USERS[0],
            group=USERS[0],
            extra_groups=[],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return trial.returncode == 0


def _start(
    kernel: list[str],
    folder: str,
    user: int | None,
    resources: dict[str, int],
    few_files: bool,
) -> list[str]:
    """Returns the command that ends as `kernel`, behind walls; see `become`."""
    every: dict[str, list[str]] = {"readable": [], "listed": []}
    options = {
        "path": [os.path.abspath(place) for place in sys.path],
        "kernel": kernel,
        "folder": folder,
        "user": user,
        "resources": resources,
        **(_files() if few_files else every),
    }
    return [sys.executable, "-I", "-S", "-c", _CHILD, json.dumps(options)]


@cache
def _runs_with_few_files() -> bool:
    """Tries whether Python starts with its own files alone, wherever those may be."""
    with tempfile.TemporaryDirectory() as folder:
        kernel = [sys.executable, "-c", "import ipykernel, numpy, ssl, zmq"]
        trial = subprocess.run(
            _start(kernel, os.path.realpath(folder), None, {}, True),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return trial.returncode == 0


def _files() -> dict[str, list[str]]:
    """Finds what a notebook may read: Python and its packages, without this project.

    A notebook must not import the solutions where this project is installed beside its
    packages. Folders that it is in are only listed, as imports do.
    """
    places = [
        *READABLE,
        sys.prefix,
        sys.base_prefix,
        sys.exec_prefix,
        sys.base_exec_prefix,
    ]
    places += [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    hidden = Path(shears.__file__).resolve().parent
    readable, listed = set(), set()
    left = [Path(place).resolve() for place in places]
    while left:
        place = left.pop()
        if place in hidden.parents:
            listed.add(str(place))
            left += [
                Path(entry) for entry in os.scandir(place) if not entry.is_symlink()
            ]
        elif place != hidden:
            readable.add(str(place))
    return {"readable": sorted(readable), "listed": sorted(listed)}


def become(
    kernel: list[str],
    folder: str,
    user: int | None,
    resources: dict[str, int],
    readable: list[str],
    listed: list[str],
) -> None:
    """Is what `Confinement.command` starts: gives things up, then is the kernel.

    Args:
        kernel: The command to become.
        folder: The private folder.
        user: The user id to have from now on, or None.
        resources: Limits, by the names that ``resource`` has for them.
        readable: Files and folders that are left to read; none: all files are left.
        listed: Folders that are left to list.
    """
    standing = []
    for name, most in resources.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))
    if user is not None:
        for path in (Path(folder), *Path(folder).iterdir()):
            os.chown(path, user, user)
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)  # for root, also the saved one
        standing.append("user")
    writable = [folder, "/dev/null"] if readable else ["/"]
    walls = raise_program_walls(readable, writable, listed)
    standing += [wall for wall in walls if readable or wall != "landlock"]
    with open(os.path.join(folder, STANDING), "w", encoding="utf-8") as file:
        json.dump(standing, file)
    os.execv(kernel[0], kernel)


def describe_walls(walls: Sequence[str]) -> list[str]:
    """Says in a line each which of three walls stand, or why they do not."""
    python = os.path.realpath(sys.executable)
    why = "only root can give it one" if os.geteuid() else f"others cannot run {python}"
    network = "network namespace" in walls or "seccomp" in walls
    return [
        "the notebook ran as a user of its own"
        if "user" in walls
        else f"the notebook ran as this user: {why}",
        "the notebook had no files but its own folder's and Python's"
        if "landlock" in walls
        else "the notebook had the files of its user: this system has no Landlock, or "
        "its Python needs files that are not Python's",
        "the notebook had no network"
        if network
        else "the notebook had network access: this system has no seccomp filter",
    ]


def missing_walls(walls: Sequence[str]) -> list[str]:
    """Says in a line each which walls do not stand, and why."""
    every = describe_walls(["user", "landlock", "seccomp"])
    return [line for line in describe_walls(walls) if line not in every]

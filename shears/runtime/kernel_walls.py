"""Takes away from a process what it does not need, with the means of the Linux kernel.

Landlock (https://docs.kernel.org/userspace-api/landlock.html) forbids every access to
files that are not open yet. A seccomp filter
(https://docs.kernel.org/userspace-api/seccomp_filter.html) refuses the system calls
that start programs and processes, use the network or look into other processes. Where
there is no such filter, a namespace without a network
(https://man7.org/linux/man-pages/man7/network_namespaces.7.html) does a part of it. All
work without root and cannot be undone. Python has no maintained library for them.

`raise_kernel_walls` is for a process that reads one open file, `raise_program_walls`
for a program that has to start others and to read its libraries.
"""

import ctypes
import os
import platform
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

_NO_NEW_PRIVILEGES = 38  # prctl
_SET_SECCOMP, _FILTER = 22, 2
# The same on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
#: Access rights that each version of Landlock added, as numbers of bits.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_NETWORK_RIGHTS = 0b11  # bind and connect, since version 4
_SCOPES = 0b11  # abstract sockets and signals, since version 6
_PATH_BENEATH = 1  # kind of a rule
_EXECUTE, _READ_FILE, _READ_FOLDER = 0b1, 0b100, 0b1000
_RIGHTS_OF_FILES = 0b1100000000000111  # the others are of folders
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # unshare
_CAPABILITIES = 0x20080522  # version 3 of their form

# Identifier of each architecture, and the numbers of its system calls.
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_CALLS: dict[str, dict[str, int]] = {
    "x86_64": {
        "socket": 41,
        "socketpair": 53,
        "clone": 56,
        "fork": 57,
        "vfork": 58,
        "execve": 59,
        "kill": 62,
        "ptrace": 101,
        "setpgid": 109,
        "setsid": 112,
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "unshare": 272,
        "perf_event_open": 298,
        "setns": 308,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "bpf": 321,
        "execveat": 322,
        "userfaultfd": 323,
    },
    "aarch64": {
        "unshare": 97,
        "ptrace": 117,
        "kill": 129,
        "setpgid": 154,
        "setsid": 157,
        "socket": 198,
        "socketpair": 199,
        "add_key": 217,
        "request_key": 218,
        "keyctl": 219,
        "clone": 220,
        "execve": 221,
        "perf_event_open": 241,
        "setns": 268,
        "process_vm_readv": 270,
        "process_vm_writev": 271,
        "bpf": 280,
        "execveat": 281,
        "userfaultfd": 282,
    },
}
_LOOKS_INTO_PROCESSES = ("ptrace", "process_vm_readv", "process_vm_writev", "bpf")
#: What a reader of one file is refused.
_OF_READERS = (
    *("socket", "socketpair", "clone", "fork", "vfork", "execve", "kill", "execveat"),
    *_LOOKS_INTO_PROCESSES,
)
#: What a program is refused: other namespaces, and much of the kernel's surface.
_OF_PROGRAMS = (
    *("unshare", "setns", "add_key", "request_key", "keyctl", "perf_event_open"),
    *("userfaultfd", *_LOOKS_INTO_PROCESSES),
)
#: Newer calls have one number everywhere: io_uring_setup, _enter, _register, clone3.
_IO_URING, _CLONE3 = (425, 426, 427), 435
_NEW_NAMESPACES = 0x7E020000  # flags of clone
_UNIX = 1  # family of sockets

# Instructions of the classic Berkeley packet filter.
_LOAD, _EQUAL, _AT_LEAST, _HAS_ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # EPERM
_PRETEND, _UNKNOWN = 0x00050000, 0x00050000 | 38  # success; ENOSYS
_NOT_SUPPORTED = 0x00050000 | 95  # EOPNOTSUPP: of EPERM, ZeroMQ ends the process
_ARGUMENT = 16  # place of a call's first argument, its lower half
_X32 = 0x40000000  # bit of x86_64's second table of system calls


def raise_kernel_walls() -> list[str]:
    """Forbids this process to open files, start processes and use the network.

    Returns:
        Which of "landlock", "seccomp" and "network namespace" stand; the last is for
        where there is no seccomp. None do on other systems than Linux, and fewer on a
        kernel before 5.13 or another architecture.
    """
    libc = _libc()
    if libc is None:
        return []
    standing = ["landlock"] if _landlock(libc) else []
    if (numbers := _CALLS.get(platform.machine())) is not None:
        calls = [numbers[name] for name in _OF_READERS if name in numbers]
        if _seccomp(libc, _refuse([*calls, *_IO_URING, _CLONE3])):
            standing.append("seccomp")
    if "seccomp" not in standing and _network_namespace(libc):
        standing.append("network namespace")
    return standing


def raise_program_walls(
    readable: Iterable[str], writable: Iterable[str], listed: Iterable[str] = ()
) -> list[str]:
    """Leaves a program, and all that it starts, some files and Unix sockets.

    It may read and run what is below `readable`, and do anything below `writable`. It
    has no other files, no network, no capabilities, and sees into no process outside.
    Calls that would leave its session or process group do nothing and say that they
    did, so all that it starts can be killed at once.

    Args:
        readable: Files and folders; those that are missing are passed over.
        writable: The same.
        listed: Folders that it may list, with those below them, but not read.

    Returns:
        Which of "landlock", "seccomp" and "network namespace" stand, as
        `raise_kernel_walls` has them. Files are Landlock's, the others seccomp's.
    """
    libc = _libc()
    if libc is None:
        return []
    numbers = _CALLS.get(platform.machine())
    standing = []
    if numbers is None and _network_namespace(libc):  # needs what is then given up
        standing.append("network namespace")
    libc.capset(struct.pack("=II", _CAPABILITIES, 0), bytes(24))
    if _landlock(libc, readable, writable, listed):
        standing.append("landlock")
    if numbers is not None and _seccomp(libc, _program_filter(numbers)):
        standing.append("seccomp")
    return standing


def _libc() -> ctypes.CDLL | None:
    """Returns the C library of a Linux on which walls can be raised."""
    if platform.system() != "Linux":
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return None if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) else libc


def _landlock(
    libc: ctypes.CDLL,
    readable: Iterable[str] = (),
    writable: Iterable[str] = (),
    listed: Iterable[str] = (),
) -> bool:
    """Forbids every access to files by their names, but for those given."""
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION)
    if version < 1:
        return False
    bits = max(bits for since, bits in _FILE_RIGHTS.items() if since <= version)
    every = (1 << bits) - 1
    attributes = struct.pack(
        "=QQQ",
        every,
        _NETWORK_RIGHTS if version >= 4 else 0,
        _SCOPES if version >= 6 else 0,
    )
    rules = libc.syscall(
        _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0
    )
    if rules < 0:
        return False
    try:
        for paths, rights in (
            (readable, _EXECUTE | _READ_FILE | _READ_FOLDER),
            (writable, every),
            (listed, _READ_FOLDER),
        ):
            for path in paths:
                if not _allow(libc, rules, path, rights & every):
                    return False
        return libc.syscall(_RESTRICT_SELF, rules, 0) == 0
    finally:
        os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> bool:
    """Adds a file or folder to Landlock's rules; passes over what is missing."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        if not Path(path).is_dir():
            rights &= _RIGHTS_OF_FILES
        rule = struct.pack("=Qi", rights, place)
        return libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0) == 0
    finally:
        os.close(place)


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """Encodes an instruction of a filter; `yes` and `no` are how many to skip."""
    return struct.pack("=HBBI", code, yes, no, value)


def _refuse(calls: Sequence[int], answer: int = _REFUSE) -> list[bytes]:
    """Answers system calls; others go on to the next instruction."""
    if not calls:
        return []
    code = []
    for number, call in enumerate(calls, 1):
        last = number == len(calls)
        code.append(
            _instruction(_EQUAL, call, yes=len(calls) - number, no=1 if last else 0)
        )
    return [*code, _instruction(_RETURN, answer)]


def _program_filter(numbers: dict[str, int]) -> list[bytes]:
    """Makes the filter of `raise_program_walls`."""
    calls = [numbers[name] for name in _OF_PROGRAMS]
    return [
        *_refuse([*calls, *_IO_URING]),
        *_refuse([numbers["setsid"], numbers["setpgid"]], _PRETEND),
        # Its flags are out of a filter's sight; without it, clone is used.
        *_refuse([_CLONE3], _UNKNOWN),
        _instruction(_EQUAL, numbers["clone"], no=4),
        _instruction(_LOAD, _ARGUMENT),
        _instruction(_HAS_ANY, _NEW_NAMESPACES, no=1),
        _instruction(_RETURN, _REFUSE),
        _instruction(_RETURN, _ALLOW),
        _instruction(_EQUAL, numbers["socket"], no=3),
        _instruction(_LOAD, _ARGUMENT),
        _instruction(_EQUAL, _UNIX, yes=1),
        _instruction(_RETURN, _NOT_SUPPORTED),
    ]


def _seccomp(libc: ctypes.CDLL, answers: Sequence[bytes]) -> bool:
    """Sets a filter: `answers` for the system calls of this architecture."""
    code = [
        _instruction(_LOAD, 4),  # the architecture
        _instruction(_EQUAL, _ARCHITECTURES[platform.machine()], yes=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, 0),  # the number of the call
        _instruction(_AT_LEAST, _X32, no=1),
        _instruction(_RETURN, _KILL),
        *answers,
        _instruction(_RETURN, _ALLOW),
    ]
    instructions = ctypes.create_string_buffer(b"".join(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    program = Program(len(code), ctypes.addressof(instructions))
    pointer = ctypes.byref(program)
    return libc.prctl(_SET_SECCOMP, _FILTER, pointer, 0, 0) == 0


def _network_namespace(libc: ctypes.CDLL) -> bool:
    """Moves this process to where there is no network; some systems allow only root."""
    if libc.unshare(_NEW_USER | _NEW_NETWORK):
        return False
    header = struct.pack("=II", _CAPABILITIES, 0)
    return libc.capset(header, bytes(24)) == 0  # it has all there, and needs none

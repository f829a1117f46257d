"""Takes away from a process what it does not need, with the means of the Linux kernel.

Landlock (https://docs.kernel.org/userspace-api/landlock.html) forbids every access to
files that are not open yet. A seccomp filter
(https://docs.kernel.org/userspace-api/seccomp_filter.html) refuses the system calls
that start programs and processes, use the network or look into other processes. Where
there is no such filter, a namespace without a network
(https://man7.org/linux/man-pages/man7/network_namespaces.7.html) does a part of it. All
work without root and cannot be undone. Python has no maintained library for them.
"""

import ctypes
import os
import platform
import struct

_NO_NEW_PRIVILEGES = 38  # prctl
_SET_SECCOMP, _FILTER = 22, 2
_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every architecture
_GET_VERSION = 1
#: Access rights that each version of Landlock added, as numbers of bits.
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
_NETWORK_RIGHTS = 0b11  # bind and connect, since version 4
_SCOPES = 0b11  # abstract sockets and signals, since version 6
_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # unshare
_CAPABILITIES = 0x20080522  # version 3 of their form

# Numbers of the refused system calls on each architecture, and its identifier.
_CALLS = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41,
            "socketpair": 53,
            "clone": 56,
            "fork": 57,
            "vfork": 58,
            "execve": 59,
            "kill": 62,
            "ptrace": 101,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "bpf": 321,
            "execveat": 322,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "ptrace": 117,
            "kill": 129,
            "socket": 198,
            "socketpair": 199,
            "clone": 220,
            "execve": 221,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "bpf": 280,
            "execveat": 281,
        },
    ),
}
#: Newer calls have one number everywhere: io_uring_setup, _enter, _register, clone3.
_NEWER_CALLS = (425, 426, 427, 435)

# Instructions of the classic Berkeley packet filter.
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 1  # EPERM
_X32 = 0x40000000  # bit of x86_64's second table of system calls


def raise_kernel_walls() -> list[str]:
    """Forbids this process to open files, start processes and use the network.

    Returns:
        Which of "landlock", "seccomp" and "network namespace" stand; the last is for
        where there is no seccomp. None do on other systems than Linux, and fewer on a
        kernel before 5.13 or another architecture.
    """
    if platform.system() != "Linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return []
    walls = {"landlock": _landlock, "seccomp": _seccomp}
    standing = [name for name, wall in walls.items() if wall(libc)]
    if "seccomp" not in standing and _network_namespace(libc):
        standing.append("network namespace")
    return standing


def _landlock(libc: ctypes.CDLL) -> bool:
    """Forbids every access to files by their names."""
    libc.syscall.restype = ctypes.c_long
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION)
    if version < 1:
        return False
    bits = max(bits for since, bits in _FILE_RIGHTS.items() if since <= version)
    attributes = struct.pack(
        "=QQQ",
        (1 << bits) - 1,
        _NETWORK_RIGHTS if version >= 4 else 0,
        _SCOPES if version >= 6 else 0,
    )
    rules = libc.syscall(
        _CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0
    )
    if rules < 0:
        return False
    restricted = libc.syscall(_RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return restricted


def _instruction(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """Encodes an instruction of a filter; `yes` and `no` are how many to skip."""
    return struct.pack("=HBBI", code, yes, no, value)


def _seccomp(libc: ctypes.CDLL) -> bool:
    """Refuses the system calls of `_CALLS` with EPERM."""
    machine = platform.machine()
    if machine not in _CALLS:
        return False
    architecture, named = _CALLS[machine]
    calls = [*named.values(), *_NEWER_CALLS]
    code = [
        _instruction(_LOAD, 4),  # the architecture
        _instruction(_EQUAL, architecture, yes=1),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, 0),  # the number of the call
        _instruction(_AT_LEAST, _X32, no=1),
        _instruction(_RETURN, _KILL),
    ]
    for number, call in enumerate(calls):
        code.append(_instruction(_EQUAL, call, yes=len(calls) - number))
    code += [_instruction(_RETURN, _ALLOW), _instruction(_RETURN, _REFUSE)]
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

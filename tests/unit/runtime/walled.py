"""What a stranger's file might make its reader do; called behind walls."""

import ctypes
import os
import socket
import subprocess
import time
from pathlib import Path

from shears.runtime.errors import UserError


def echo(file):
    return file.read()


def refuse(file):
    raise UserError(f"found {file.read(3)!r}, expected a network")


def fail(file):
    raise ZeroDivisionError


def crash(file):
    ctypes.string_at(0)


def loop(file):
    while True:
        pass


def sleep(file):
    time.sleep(3600)


def take_memory(file):
    return bytes(1 << 40)


def answer_at_length(file):
    return bytes(1 << 20)


def tried(action):
    try:
        action()
    except OSError as error:
        return type(error).__name__.encode()
    return b"done"


def read_a_file(file):
    return tried(lambda: Path("/etc/hostname").read_bytes())


def write_a_file(file):
    return tried(lambda: Path(file.read().decode()).write_text("x", encoding="utf-8"))


def start_a_program(file):
    return tried(lambda: subprocess.run(["/bin/true"]))


def start_a_process(file):
    return tried(os.fork)


def use_the_network(file):
    return tried(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

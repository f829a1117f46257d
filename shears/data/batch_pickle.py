"""Reads the batch files of CIFAR-10's Python version, which are pickles.

A pickle is a program, and ``pickle.load`` runs it. Here its instructions are only
listed (``pickletools.genops``), and those that a dictionary with lists, bytes and one
NumPy array needs are followed on values of our own. A name such as ``numpy.dtype`` is
looked up in a table. Nothing is imported and nothing is called.
"""

import enum
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from shears.runtime.errors import UserError, brief

PIXELS = 3 * 32 * 32  #: of an image: channel, row, column
LARGEST = 64 << 20  #: bytes of a batch file; the official ones have 31 million
MOST_STEPS = (
    200_000  #: instructions of a batch file; the official ones have about 50,000
)
KEYS = {"batch_label", "labels", "data", "filenames"}
NOT_IT = "this is not a batch of CIFAR-10's Python version"


class _Foreign(ValueError):
    """The pickle holds something else: what was found, and what was expected."""


class _Name(enum.Enum):
    """What a pickle may name."""

    ENCODE = enum.auto()
    BYTES = enum.auto()
    RECONSTRUCT = enum.auto()
    FROM_BUFFER = enum.auto()
    NDARRAY = enum.auto()
    DTYPE = enum.auto()


_NAMES = {
    "_codecs encode": _Name.ENCODE,  # Python 3 writes bytes like this for Python 2,
    "__builtin__ bytes": _Name.BYTES,  # and b"" like this
    "numpy.core.multiarray _reconstruct": _Name.RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _Name.RECONSTRUCT,  # NumPy 2
    "numpy.core.numeric _frombuffer": _Name.FROM_BUFFER,  # protocol 5
    "numpy._core.numeric _frombuffer": _Name.FROM_BUFFER,
    "numpy ndarray": _Name.NDARRAY,
    "numpy dtype": _Name.DTYPE,
}


@dataclass(eq=False)  # comparing could go deep
class _DType:
    """Stands for the data type uint8; there is no other."""


@dataclass(eq=False)  # comparing could go deep
class _Array:
    """Stands for an array: what the pickle says of it, unchecked."""

    shape: object = None
    dtype: object = None
    fortran: object = None
    content: object = None


def _text(value: object) -> object:
    """Returns short bytes as text: Python 2 wrote its text as bytes."""
    if isinstance(value, bytes) and len(value) <= 16:
        return value.decode("latin-1")
    return value


class _Machine:
    """Follows the instructions of one pickle.

    Its values are None, bools, ints, bytes, text, lists, tuples, dictionaries, the
    stand-ins above and names. No value is copied, compared or printed as a whole, so
    depth and repetition cost nothing.
    """

    def __init__(self, budget: int):
        self.stack: list[Any] = []
        self.marks: list[int] = []  # heights of the stack
        self.memo: dict[int, Any] = {}
        self.budget = budget  # bytes that may still be encoded

    def push(self, value: object) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise _Foreign("found an instruction that lacks its values")
        return self.stack.pop()

    def top(self, kind: type = object) -> Any:
        value = self.pop()
        self.push(value)
        if not isinstance(value, kind):
            raise _Foreign(f"found items without a {kind.__name__}")
        return value

    def mark(self) -> None:
        self.marks.append(len(self.stack))

    def pop_to_mark(self) -> list[Any]:
        if not self.marks:
            raise _Foreign("found an instruction that lacks its values")
        height = self.marks.pop()
        values = self.stack[height:]
        del self.stack[height:]
        return values

    def pop_tuple(self, count: int) -> None:
        self.push(tuple([self.pop() for _ in range(count)][::-1]))

    def extend(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        keys = [_text(key) for key in values[::2]]
        if len(values) % 2 or not all(isinstance(key, str) for key in keys):
            raise _Foreign("found a dictionary whose keys are not short text")
        self.top(dict).update(zip(keys, values[1::2], strict=True))

    def put(self, index: int) -> None:
        self.memo[index] = self.top()

    def get(self, index: int) -> None:
        if index not in self.memo:
            raise _Foreign("found an instruction that lacks its values")
        self.push(self.memo[index])

    def find(self, name: str) -> None:
        """Looks up a name: module, space, name. Nothing is imported."""
        if name not in _NAMES:
            shown = brief(name[:60].replace(" ", ".", 1), 60)
            raise _Foreign(f"it asks for {shown}, expected only NumPy's arrays")
        self.push(_NAMES[name])

    def find_popped(self) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise _Foreign("found a name that is not text")
        self.find(f"{module} {name}")

    def reduce(self) -> None:
        """Follows what would be a call. Nothing is called."""
        arguments, function = self.pop(), self.pop()
        if not isinstance(arguments, tuple):
            raise _Foreign("found a call without a tuple of arguments")
        match (function, *map(_text, arguments)):
            case (_Name.ENCODE, str(text), "latin1" | "latin-1"):
                # One text in the memo could be encoded again and again.
                self.budget -= len(text)
                if self.budget < 0:
                    raise _Foreign("found bytes that are encoded again and again")
                self.push(text.encode("latin-1"))
            case (_Name.BYTES,):
                self.push(b"")
            case (_Name.RECONSTRUCT, _Name.NDARRAY, (0,), "b"):
                self.push(_Array())
            case (_Name.DTYPE, str(name), int(), int()):
                if name != "u1":
                    raise _Foreign(
                        f"found data of dtype {brief(name[:20])}, expected u1 (uint8)"
                    )
                self.push(_DType())
            case (_Name.FROM_BUFFER, content, _DType() as dtype, shape, str(order)):
                self.push(_Array(shape, dtype, order != "C", content))
            case _:
                raise _Foreign("found another call, expected only NumPy's arrays")

    def build(self) -> None:
        """Follows the setting of an object's state."""
        state, value = self.pop(), self.pop()
        match (value, state):
            case (_Array(), (1, shape, dtype, fortran, content)):
                value.shape, value.dtype = shape, dtype
                value.fortran, value.content = fortran, content
            # Version, byte order, no base, no fields, sizes and flags.
            case (_DType(), (3, str() | bytes(), None, None, None, int(), int(), 0)):
                pass
            case _:
                raise _Foreign("found another state, expected only NumPy's arrays")
        self.push(value)

    def protocol(self, number: int) -> None:
        if not 2 <= number <= 5:
            raise _Foreign(f"found pickle protocol {number}, expected 2 to 5")


def _latin_1(machine: _Machine, value: str) -> None:
    """Python 2's text is bytes; pickletools has decoded it."""
    machine.push(value.encode("latin-1"))


# All that a batch needs. Missing are the instructions that make objects of any class.
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    "PROTO": _Machine.protocol,
    "FRAME": lambda machine, _: None,
    "STOP": lambda machine, _: None,
    "MARK": lambda machine, _: machine.mark(),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    **dict.fromkeys(("BININT", "BININT1", "BININT2", "LONG1"), _Machine.push),
    **dict.fromkeys(("BINSTRING", "SHORT_BINSTRING"), _latin_1),
    **dict.fromkeys(("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _Machine.push),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _Machine.push),
    "BYTEARRAY8": _Machine.push,
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "TUPLE1": lambda machine, _: machine.pop_tuple(1),
    "TUPLE2": lambda machine, _: machine.pop_tuple(2),
    "TUPLE3": lambda machine, _: machine.pop_tuple(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.pop_to_mark())),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "APPEND": lambda machine, _: machine.extend([machine.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.pop_to_mark()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "SETITEM": lambda machine, _: machine.set_items(
        [machine.pop(), machine.pop()][::-1]
    ),
    "SETITEMS": lambda machine, _: machine.set_items(machine.pop_to_mark()),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), _Machine.put),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), _Machine.get),
    "MEMOIZE": lambda machine, _: machine.put(len(machine.memo)),
    "GLOBAL": _Machine.find,
    "STACK_GLOBAL": lambda machine, _: machine.find_popped(),
    "REDUCE": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
}


def _follow(content: bytes) -> Any:
    """Returns the one value that a pickle describes."""
    machine = _Machine(len(content))
    end = 0
    for step, (opcode, argument, position) in enumerate(pickletools.genops(content)):
        if step >= MOST_STEPS:
            raise _Foreign(f"found more than {MOST_STEPS:,} instructions")
        if opcode.name not in _STEPS:
            raise _Foreign(f"found the instruction {opcode.name} at byte {position:,}")
        _STEPS[opcode.name](machine, argument)
        end = (position or 0) + 1
    if machine.marks:
        raise _Foreign("found a mark that no instruction takes")
    if len(machine.stack) != 1:
        raise _Foreign(f"found {len(machine.stack)} values, expected one dictionary")
    if end != len(content):
        raise _Foreign(f"found {len(content) - end:,} bytes after its end")
    return machine.pop()


def _pixels(array: object, rows: int) -> np.ndarray:
    """Checks what a pickle says of its array, and makes it."""
    if not isinstance(array, _Array):
        raise _Foreign("its data are not an array")
    if not isinstance(array.dtype, _DType):
        raise _Foreign("its data have no dtype")
    match array.shape:
        case (int(count), int(width)):
            pass
        case _:
            raise _Foreign(
                f"its data have no shape of two numbers, expected ({rows}, {PIXELS})"
            )
    if (count, width) != (rows, PIXELS):
        shape = brief((count, width), 40)
        raise _Foreign(f"its data have shape {shape}, expected ({rows}, {PIXELS})")
    if array.fortran not in (False, 0):
        raise _Foreign("its data are in Fortran's order, expected C's")
    if not isinstance(array.content, bytes | bytearray):
        raise _Foreign("its data have no bytes")
    if len(array.content) != rows * PIXELS:
        raise _Foreign(
            f"its data have {len(array.content):,} bytes, expected {rows * PIXELS:,}"
        )
    return np.frombuffer(array.content, np.uint8).reshape(rows, PIXELS)


def _labels(labels: object, rows: int) -> np.ndarray:
    """Checks a pickle's labels."""
    if not isinstance(labels, list):
        raise _Foreign("its labels are not a list")
    if len(labels) != rows:
        raise _Foreign(f"found {len(labels):,} labels, expected {rows:,}")
    for row, label in enumerate(labels):
        if type(label) is not int:  # nor a bool
            kind = type(label).__name__.lstrip("_")
            raise _Foreign(f"row {row} has a label of type {kind}, expected int")
        if not 0 <= label <= 9:
            raise _Foreign(f"row {row} has label {brief(label, 20)}, expected 0 to 9")
    return np.array(labels, np.uint8)


def decode_batch(
    content: bytes, where: str, *, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes a batch file, a pickle, without running anything in it.

    It may be one of the official files, which Python 2 wrote, or have been written
    again by Python 3 (protocols 2 to 5) with any NumPy. Its label and file names are
    ignored.

    Args:
        content: The file, at most `LARGEST` bytes.
        where: The file's name, for errors.
        rows: How many images it must have.

    Returns:
        Pixels, (rows, `PIXELS`) uint8, and labels, (rows,) uint8, 0 to 9.

    Raises:
        UserError: It is too large; not a pickle; asks for anything but a dictionary of
            a C-ordered uint8 array and lists; has another shape, another number of
            labels or a label that is not an int from 0 to 9.
    """
    try:
        if len(content) > LARGEST:
            raise _Foreign(
                f"found {len(content):,} bytes, expected at most {LARGEST:,}"
            )
        batch = _follow(content)
        if not isinstance(batch, dict):
            raise _Foreign("its value is not a dictionary")
        if not {"data", "labels"} <= batch.keys() <= KEYS:
            shown = brief(", ".join(key[:20] for key in sorted(batch)[:6]) or "none")
            raise _Foreign(
                f"found the keys {shown}, expected {', '.join(sorted(KEYS))}"
            )
        return _pixels(batch["data"], rows), _labels(batch["labels"], rows)
    except ValueError as error:  # pickletools raises it, too
        raise UserError(f"{where}: {brief(str(error)[:200])}: {NOT_IT}") from None

"""An untrusted HDF5 file: every object is inspected before any is read.

Nothing in it is executed. Errors give the place in the file, what was found and what
was expected, but not the file's name.
"""

import itertools
from collections.abc import Mapping, Sequence

import h5py
import numpy as np

from shears.model.parameters import SMALLEST
from shears.runtime.errors import UserError
from shears.weight_files.raw_data import read_raw

NUMBERS = "fiu"  # kinds of what an array may hold
OPAQUE, BFLOAT16 = np.dtype("V2"), "bfloat16"  # as h5py sees it, as Keras 3 names it
MOST_BYTES = 8  # of a number
MOST_OBJECTS = 10_000
MOST_TEXT = 1 << 20  # bytes of an attribute; a model_config has about 5,000


class UnfitArrays(UserError):
    """Arrays of the right shapes, of which loaders would load something else."""


class InspectedFile:
    """An open file whose objects are all inspected before any is read.

    Attributes:
        file: The file.
        data: Its data sets by path.
        groups: Its groups by path.
        ignored: Its contents that no weights loader reads.
    """

    def __init__(self, file: h5py.File, passed_over: Mapping[str, str]) -> None:
        """Inspects the file.

        Args:
            file: The open file.
            passed_over: Groups at the root that are not inspected, and what they hold.

        Raises:
            UserError: It has links, objects of an unknown kind, or far too many
                objects.
        """
        self.file = file
        self.data: dict[str, h5py.Dataset] = {}
        self.groups: dict[str, h5py.Group] = {}
        self.ignored: list[str] = []
        self._passed_over = passed_over
        self._objects = 0
        self._arrays: dict[int, np.ndarray] = {}  # by the address in the file
        self._inspect(file, "", ())

    def _inspect(self, group: h5py.Group, path: str, above: Sequence[int]) -> None:
        """Records every data set below a group; refuses links and other objects."""
        for name in group:
            where = f"{path}/{name}" if path else name
            self._objects += 1
            if self._objects > MOST_OBJECTS:
                raise UserError(
                    f"found more than {MOST_OBJECTS:,} objects, expected about 60"
                )
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                kind = (
                    "an external" if isinstance(link, h5py.ExternalLink) else "a soft"
                )
                raise UserError(f"{where}: found {kind} link, expected the data itself")
            if not path and name in self._passed_over:
                self.ignored.append(f"{self._passed_over[name]} in {name}")
                continue
            item = group[name]
            if isinstance(item, h5py.Dataset):
                if item.shape is None:
                    raise UserError(
                        f"{where}: found an array without data, expected numbers"
                    )
                self.data[where] = item
            elif isinstance(item, h5py.Group):
                address = h5py.h5o.get_info(item.id).addr
                if address in above:
                    raise UserError(f"{where}: found a group that contains itself")
                self.groups[where] = item
                self._inspect(item, where, (*above, address))
            else:
                raise UserError(
                    f"{where}: found a {type(item).__name__}, expected a group or "
                    "an array"
                )

    def is_bfloat16(self, where: str) -> bool:
        """Returns whether a data set is bfloat16 as Keras 3 stores it: as raw bytes."""
        item = self.data[where]
        return (
            item.dtype == OPAQUE and read_text(item, "dtype", f"{where}: ") == BFLOAT16
        )

    def take(
        self, where: str, shape: tuple[int, ...], *, bfloat16: bool = False
    ) -> np.ndarray:
        """Reads an array after checking everything that it declares.

        Args:
            where: The data set's path.
            shape: The shape it must have.
            bfloat16: Whether the layout's loader reads bfloat16.

        Returns:
            float32, finite, without denormals. Other numbers are rounded to float32, as
            every loader does.

        Raises:
            UnfitArrays: It has this shape, but not such numbers.
            UserError: It has another shape.
        """
        item = self.data[where]
        known = item.dtype.kind in NUMBERS or (bfloat16 and self.is_bfloat16(where))
        if not known or item.dtype.itemsize > MOST_BYTES:
            raise UnfitArrays(f"{where}: found dtype {item.dtype}, expected float32")
        if item.shape != shape:
            raise UserError(f"{where}: {_shape_advice(item.shape, shape)}")
        address = h5py.h5o.get_info(item.id).addr  # linked data is read once
        if address not in self._arrays:
            self._arrays[address] = self._read(where, item)
        return self._arrays[address]

    def _read(self, where: str, item: h5py.Dataset) -> np.ndarray:
        """Reads an array as float32 and checks its values."""
        try:
            stored = read_raw(item)
        except UserError as error:
            raise UnfitArrays(f"{where}: {error}") from None
        name = item.dtype.name
        with np.errstate(over="ignore"):  # what is too large is refused below
            if item.dtype == OPAQUE:  # bfloat16: the upper half of a float32
                name, bits = BFLOAT16, stored.view("<u2").astype(np.uint32) << 16
                array = bits.view(np.float32)
            else:
                array = stored.astype(np.float32, copy=False)
        if item.dtype.newbyteorder("=") != np.float32:
            note = f"the dtype {name} of arrays, read as float32"
            if note not in self.ignored:
                self.ignored.append(note)
        if not np.isfinite(array).all():
            index = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            raise UnfitArrays(
                f"{where}: found {array[index]} at {list(index)}, expected finite "
                "numbers"
            )
        denormal = (array != 0) & (np.abs(array) < SMALLEST)
        if denormal.any():
            index = tuple(map(int, np.argwhere(denormal)[0]))
            raise UnfitArrays(
                f"{where}: found the denormal {array[index]:g} at {list(index)}, "
                "expected 0: only some versions of TensorFlow treat it as zero"
            )
        return array


def _shape_advice(actual: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """Describes a wrong shape, and whether it looks transposed."""
    text = f"found shape {actual}, expected {expected}"
    if len(actual) > 1 and sorted(actual) == sorted(expected):
        text += ": it looks transposed (Keras stores height, width, in, out)"
    return text


def read_text(owner: h5py.Group | h5py.Dataset, key: str, where: str) -> str | None:
    """Reads an attribute that holds text; None if it is missing."""
    values = _attribute(owner, key, where)
    if values is None:
        return None
    if not isinstance(values, bytes | str):
        raise UserError(f"{where}attribute {key}: found no text, expected a string")
    return _decode(values, f"{where}attribute {key}")


def read_texts(owner: h5py.Group, key: str, where: str) -> list[str] | None:
    """Reads a list of strings; None if it is missing.

    It is an attribute, or several that are numbered from 0, if it was too long for one.
    """
    keys = attribute_keys(owner, key)
    if not keys:
        return None
    texts: list[str] = []
    for part in keys:
        texts += _read_list(owner, part, where)
        if len(texts) > MOST_OBJECTS:
            raise UserError(
                f"{where}attribute {key}: found more than {MOST_OBJECTS:,} names"
            )
    return texts


def attribute_keys(owner: h5py.Group, key: str) -> list[str]:
    """Lists the attributes that hold a list, as every loader looks for them."""
    if key in owner.attrs:
        return [key]
    numbers = itertools.takewhile(
        lambda number: f"{key}{number}" in owner.attrs, itertools.count()
    )
    return [f"{key}{number}" for number in numbers]


def has_unicode(owner: h5py.Group, key: str) -> bool:
    """Returns whether an attribute has type str for h5py 2, where others are bytes."""
    if key not in owner.attrs:
        return False
    kind = owner.attrs.get_id(key).get_type()
    return (
        isinstance(kind, h5py.h5t.TypeStringID)
        and kind.is_variable_str()
        and kind.get_cset() == h5py.h5t.CSET_UTF8
    )


def _read_list(owner: h5py.Group, key: str, where: str) -> list[str]:
    """Reads an attribute that holds a list of strings."""
    values = _attribute(owner, key, where)
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        raise UserError(
            f"{where}attribute {key}: found no list, expected a list of names"
        )
    if not values.size:  # an empty list is stored as numbers
        return []
    if values.size > MOST_OBJECTS or values.dtype.kind not in "SO":
        raise UserError(
            f"{where}attribute {key}: found no names, expected a list of names"
        )
    return [_decode(value, f"{where}attribute {key}") for value in values]


def _attribute(owner: h5py.Group | h5py.Dataset, key: str, where: str) -> object:
    """Reads an attribute if its size is sensible; None if it is missing."""
    if key not in owner.attrs:
        return None
    stored = owner.attrs.get_id(key)
    size = int(np.prod(stored.shape or (), dtype=float)) * stored.dtype.itemsize
    _check_size(size, f"{where}attribute {key}")
    value = owner.attrs[key]
    if isinstance(value, str) or stored.dtype == object:
        # The length is not declared, and many names may share one long text. Only the
        # limit of memory bounds what reading it takes.
        texts = value.ravel() if isinstance(value, np.ndarray) else [value]
        size = sum(len(text) for text in texts if isinstance(text, bytes | str))
        _check_size(size, f"{where}attribute {key}")
    return value


def _check_size(size: int, where: str) -> None:
    """Refuses an attribute that is too large."""
    if size > MOST_TEXT:
        text = f"found {size:,} bytes, expected at most {MOST_TEXT:,}"
        raise UserError(f"{where}: {text}")


def _decode(value: bytes | str, where: str) -> str:
    """Decodes what h5py returns."""
    if isinstance(value, str):
        return value
    try:
        return bytes.decode(value)
    except (TypeError, UnicodeDecodeError):
        raise UserError(
            f"{where}: found no text in UTF-8, expected a UTF-8 string"
        ) from None

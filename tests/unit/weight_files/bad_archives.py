"""``.keras`` files that must be refused: spoilt in every way we thought of."""

import io
import json
import struct
import zipfile
from collections.abc import Callable

import h5py
import numpy as np

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
LISTED = b"PK\x01\x02"  # how an entry of the list of members begins
KERNEL = "layers/dense/vars/0"

Members = dict[str, bytes]


def unpack_archive(content: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def pack_archive(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def with_members(change: Callable[[Members], object]) -> Callable[[bytes], bytes]:
    """Changes the members of an archive."""

    def spoil(good: bytes) -> bytes:
        members = unpack_archive(good)
        change(members)
        return pack_archive(members)

    return spoil


def with_member(name: str, content: bytes) -> Callable[[bytes], bytes]:
    return with_members(lambda members: members.update({name: content}))


def with_model(change: Callable[[dict], object]) -> Callable[[bytes], bytes]:
    """Changes the description of the model."""

    def spoil(members: Members) -> None:
        model = json.loads(members[CONFIG])
        change(model)
        members[CONFIG] = json.dumps(model).encode()

    return with_members(spoil)


def with_weights(change: Callable[[h5py.File], object]) -> Callable[[bytes], bytes]:
    """Changes the file of weights."""

    def spoil(members: Members) -> None:
        content = io.BytesIO(members[WEIGHTS])
        with h5py.File(content, "r+") as file:
            change(file)
        members[WEIGHTS] = content.getvalue()

    return with_members(spoil)


def replace_kernel(data: object = None, **options) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        del file[KERNEL]
        file.create_dataset(KERNEL, data=data, **options)

    return spoil


def set_value(value: float) -> Callable[[h5py.File], None]:
    return lambda file: file[KERNEL].write_direct(
        np.array([[value]], "f4"), dest_sel=np.s_[7:8, 7:8]
    )


def link_kernel(link: h5py.SoftLink | h5py.ExternalLink) -> Callable:
    def spoil(file: h5py.File) -> None:
        del file[KERNEL]
        file[KERNEL] = link

    return spoil


def swap_layers(file: h5py.File) -> None:
    file.move("layers/dense", "layers/x")
    file.move("layers/dense_1", "layers/dense")
    file.move("layers/x", "layers/dense_1")


def in_list(place: int, form: str, value: int) -> Callable[[bytes], bytes]:
    """Overwrites a field of the last entry of the list of members, the weights'."""

    def spoil(good: bytes) -> bytes:
        content = bytearray(good)
        struct.pack_into(form, content, content.rindex(LISTED) + place, value)
        return bytes(content)

    return spoil


def twice(good: bytes) -> bytes:
    """Stores the description a second time under the same name."""
    members = unpack_archive(good)
    members["config.jsoN"] = members[CONFIG]
    return pack_archive(members).replace(b"config.jsoN", b"config.json")


def bomb(good: bytes) -> bytes:
    """Compresses 256 MiB of zeros to a quarter of a megabyte."""
    content = io.BytesIO()
    members = unpack_archive(good)
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (METADATA, CONFIG):
            archive.writestr(name, members[name])
        with archive.open(WEIGHTS, "w") as file:
            for _ in range(1 << 4):
                file.write(bytes(1 << 24))
    return content.getvalue()


def understated_bomb(good: bytes) -> bytes:
    """Says in the list of members that these zeros are 5 MB."""
    return in_list(24, "<L", 5_000_000)(bomb(good))


def many_members(good: bytes) -> bytes:
    return pack_archive(
        {**unpack_archive(good), **{f"assets/{i}": b"" for i in range(100)}}
    )


def large_archive(good: bytes) -> bytes:
    """Adds a second end of the list, as archives beyond 4 GB have one."""
    end = good[-22:]
    start, size = struct.unpack("<L", end[16:20])[0], struct.unpack("<L", end[12:16])[0]
    second = struct.pack(
        "<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 3, 3, size, start
    )
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, len(good) - 22, 1)
    return good[:-22] + second + locator + end


def flipped(good: bytes) -> bytes:
    """Flips a bit in the middle of the largest kernel."""
    content = bytearray(good)
    content[len(content) // 2] ^= 1
    return bytes(content)


def layer(model: dict, number: int) -> dict:
    return model["config"]["layers"][number]


# What is made of a good file's bytes, and what the refusal says.
BAD_ARCHIVES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut": (lambda good: good[:-1], "not readable as a .keras file (no end"),
    "cut to its start": (lambda good: good[:9], "not readable as a .keras file"),
    "cut in the data": (lambda good: good[:50_000], "it is cut off, damaged or"),
    "text at the end": (lambda good: good + b"text", "no end of a zip archive"),
    "a flipped bit": (flipped, "not readable as a .keras file (Bad CRC-32"),
    "an empty archive": (lambda good: pack_archive({}), "not readable as HDF5"),
    "no weights": (
        with_members(lambda members: members.pop(WEIGHTS)),
        "found the members config.json, metadata.json, expected exactly",
    ),
    "assets": (with_member("assets/a.txt", b"a"), "found the members assets/a.txt, "),
    "weights of another kind": (
        with_member("model.weights.npz", b"a"),
        "found the members config.json, metadata.json, model.weights.h5, model.weig",
    ),
    "a path": (with_member("../config.json", b"a"), "found the members ../config.json"),
    "a name that a terminal would obey": (
        with_member("\x1b[2J", b"a"),
        r"found the members \x1b[2J, config.json",
    ),
    "a member twice": (twice, "found the members config.json, config.json, meta"),
    "many members": (many_members, "found a long list of members"),
    "a second end": (large_archive, "found a long list of members"),
    "a bomb": (bomb, "model.weights.h5: found 268,435,456 bytes, expected at most"),
    "a bomb that understates its size": (understated_bomb, "not readable as a .keras"),
    "a large member": (
        with_member(CONFIG, b" " * (1 << 20) + b"{}"),
        "config.json: found 1,048,578 bytes, expected at most 1,048,576",
    ),
    "a size that is not declared": (
        in_list(24, "<L", 5_000_000),
        "bytes, expected the 5,000,000 that the archive declares",
    ),
    "an encrypted member": (in_list(8, "<H", 1), "model.weights.h5: found encrypted"),
    "an odd compression": (
        lambda good: pack_archive(unpack_archive(good), zipfile.ZIP_LZMA),
        "found the compression 14, expected none or deflate",
    ),
    "a link": (
        in_list(38, "<L", 0o120777 << 16),
        "model.weights.h5: found a link, expected the data itself",
    ),
    "metadata of another kind": (
        with_member(METADATA, b"[" * 50_000),
        "metadata.json: found no JSON",
    ),
    "metadata that are no text": (
        with_member(METADATA, b"\xff"),
        "metadata.json: found no text in UTF-8",
    ),
    "a description that is none": (
        with_member(CONFIG, b"{}"),
        "config.json: class_name: found null",
    ),
    "a description that is no text": (
        with_member(CONFIG, b"\xff"),
        "config.json: found no text in UTF-8",
    ),
    "a Lambda layer": (
        with_model(lambda m: layer(m, 5).update(class_name="Lambda")),
        'config.json: layers[5] (Lambda): found "Lambda", expected',
    ),
    "a layer of another package": (
        with_model(lambda m: layer(m, 1).update(module="os")),
        'config.json: layers[1] (Conv2D): module: found "os", expected one of Keras',
    ),
    "a registered layer": (
        with_model(lambda m: layer(m, 1).update(registered_name="My>Conv2D")),
        'registered_name: found "My>Conv2D", expected a class of Keras',
    ),
    "a model of another package": (
        with_model(lambda m: m.update(module="mine")),
        'config.json: model: module: found "mine", expected one of Keras',
    ),
    "another width": (
        with_model(lambda m: layer(m, 1)["config"].update(filters=64)),
        "filters: found 64, expected 32",
    ),
    "weights that are no HDF5": (
        with_member(WEIGHTS, b"these are no weights"),
        "not readable as HDF5",
    ),
    "weights of Keras 2": (
        with_weights(lambda f: f.move("layers", "other")),
        "model.weights.h5: found no attribute layer_names and no group layers",
    ),
    "NaN": (with_weights(set_value(np.nan)), f"{KERNEL}: found nan at [7, 7]"),
    "a denormal": (with_weights(set_value(1e-40)), "found the denormal"),
    "complex numbers": (
        with_weights(replace_kernel(np.zeros((2304, 512), "c8"))),
        f"model.weights.h5: {KERNEL}: found dtype complex64",
    ),
    "transposed": (
        with_weights(replace_kernel(np.zeros((512, 2304), "f4"))),
        "it looks transposed",
    ),
    "an absurd size": (
        with_weights(
            replace_kernel(shape=(1 << 40, 1 << 20), dtype="f4", chunks=(64, 64))
        ),
        "shape (1099511627776, 1048576)",
    ),
    "data in another file": (
        with_weights(
            replace_kernel(
                shape=(2304, 512), dtype="f4", external=[("raw.bin", 0, 4718592)]
            )
        ),
        "its data is in another file",
    ),
    "an external link": (
        with_weights(link_kernel(h5py.ExternalLink("other.h5", "/x"))),
        f"{KERNEL}: found an external link",
    ),
    "a soft link": (
        with_weights(link_kernel(h5py.SoftLink("/layers/dense/vars/1"))),
        f"{KERNEL}: found a soft link",
    ),
    "layers in another order": (
        with_weights(swap_layers),
        "layers/dense/vars/0: found shape (512, 10), expected (2304, 512)",
    ),
    "a stray array": (
        with_weights(lambda f: f.create_dataset("layers/dense/vars/2", data=[1.0])),
        "layers/dense/vars/2: found an array that no layer",
    ),
    "a missing layer": (
        with_weights(lambda f: f.__delitem__("layers/conv2d_2")),
        "found 3 conv2d layers with weights, expected 4",
    ),
}

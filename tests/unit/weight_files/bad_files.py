"""Weights files that must be refused: ours, spoilt in every way we thought of."""

import lzma
from collections.abc import Callable

import h5py
import numpy as np
from hypothesis import strategies as st

KERNEL = "dense/dense/kernel:0"
SHAPE = (2304, 512)


def store(file: h5py.File, data: object = None, **options) -> None:
    """Stores the kernel again, as other data or in another way.

    The group under `model_weights` is a link to the same group, so it changes, too.
    """
    if data is None:
        data = file[KERNEL][:]
    del file[KERNEL]
    file.create_dataset(KERNEL, data=data, **options)


def declare(file: h5py.File, shape: tuple[int, ...], **options) -> None:
    """Replaces the kernel by one that declares a size and holds nothing."""
    del file[KERNEL]
    file.create_dataset(KERNEL, shape=shape, dtype="f4", **options)


def with_value(number: float) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        data = file[KERNEL][:]
        data[7, 7] = number
        file[KERNEL][:] = data

    return spoil


def with_kernel(change: Callable[[np.ndarray], object]) -> Callable[[h5py.File], None]:
    return lambda file: store(file, change(file[KERNEL][:]))


def with_link(name: str, link: h5py.SoftLink | h5py.ExternalLink):
    def spoil(file: h5py.File) -> None:
        if name in file:
            del file[name]
        file[name] = link

    return spoil


def with_attribute(key: str, value: object, group: str = "/"):
    return lambda file: file[group].attrs.__setitem__(key, value)


def without(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


def without_attribute(key: str, *groups: str) -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        for group in groups:
            del file[group].attrs[key]

    return spoil


def reversed_names(key: str, group: str = "/") -> Callable[[h5py.File], None]:
    def spoil(file: h5py.File) -> None:
        file[group].attrs[key] = file[group].attrs[key][::-1]

    return spoil


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout(SHAPE, np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "x", SHAPE)
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


def group_for_array(file: h5py.File) -> None:
    del file[KERNEL]
    file.create_group(KERNEL)


def two_models(number: float) -> Callable[[h5py.File], None]:
    """Gives load_model another weight than load_weights."""

    def spoil(file: h5py.File) -> None:
        del file["model_weights/dense"]
        file.copy("dense", file["model_weights"])
        file["model_weights/dense/dense/kernel:0"][0, 0] = number

    return spoil


def names_of(file: h5py.File) -> list[str]:
    return [name.decode() for name in file.attrs["layer_names"]]


def arrays_of(file: h5py.File, layer: str) -> dict[str, np.ndarray]:
    return {
        name.decode(): file[layer][name][:]
        for name in file[layer].attrs["weight_names"]
    }


def set_layers(file: h5py.File, layers: dict[str, dict[str, np.ndarray]]) -> None:
    """Writes layers anew, into the root alone."""
    del file["model_weights"]
    for name in names_of(file):
        del file[name]
    file.attrs["layer_names"] = np.array(list(layers), "S")
    for layer, arrays in layers.items():
        group = file.create_group(layer)
        group.attrs["weight_names"] = np.array(list(arrays), "S")
        for name, array in arrays.items():
            group.create_dataset(name, data=array, compression="gzip")


def grouped(name: str, first: int, last: int) -> Callable[[h5py.File], None]:
    """Puts some layers into one group, as Keras 2 saves an inner model."""

    def spoil(file: h5py.File) -> None:
        names = names_of(file)
        inner: dict[str, np.ndarray] = {}
        for layer in names[first:last]:
            inner |= arrays_of(file, layer)
        layers = {layer: arrays_of(file, layer) for layer in names[:first]}
        layers |= {name: inner}
        layers |= {layer: arrays_of(file, layer) for layer in names[last:]}
        set_layers(file, layers)

    return spoil


def split_layer(file: h5py.File) -> None:
    layers = {layer: arrays_of(file, layer) for layer in names_of(file)}
    bias = {"bias:0": layers["conv2d"].pop("conv2d/bias:0")}
    set_layers(file, {"conv2d": layers.pop("conv2d"), "more": bias, **layers})


def move_bias(file: h5py.File) -> None:
    layers = {layer: arrays_of(file, layer) for layer in names_of(file)}
    bias = {"moved:0": layers["conv2d"].pop("conv2d/bias:0")}
    layers["conv2d_1"] = bias | layers["conv2d_1"]
    set_layers(file, layers)


def top_level(file: h5py.File) -> None:
    group = file.create_group("top_level_model_weights")
    group["scale"] = np.ones(1, np.float32)
    group.attrs["weight_names"] = np.array(["scale"], "S")


def unknown_filter(file: h5py.File) -> None:
    """Stores the kernel through a filter that nobody has (32,767 is for testing)."""
    data = file[KERNEL][:]
    del file[KERNEL]
    created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    created.set_chunk(data.shape)
    created.set_filter(32767, h5py.h5z.FLAG_OPTIONAL, ())
    group = file["dense/dense"]
    h5py.h5d.create(
        group.id,
        b"kernel:0",
        h5py.h5t.IEEE_F32LE,
        h5py.h5s.create_simple(data.shape),
        created,
    )
    file[KERNEL][:] = data


def nothing(file: h5py.File) -> None:
    file.clear()
    for key in list(file.attrs):
        del file.attrs[key]


# How an open file is spoilt, and what the refusal says.
BAD: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "NaN": (with_value(np.nan), "found nan at [7, 7], expected finite"),
    "infinity": (with_value(-np.inf), "found -inf at [7, 7], expected finite"),
    "a denormal": (with_value(np.float32(1e-40)), "denormal 9.99995e-41 at [7, 7]"),
    "complex numbers": (with_kernel(lambda k: k.astype("c8")), "dtype complex64"),
    "truth values": (with_kernel(lambda k: k.astype(bool)), "dtype bool"),
    "too large a number": (
        with_kernel(lambda k: k.astype("f8") + 1e39),
        "found inf at [0, 0], expected finite",
    ),
    "text": (with_kernel(lambda k: "text"), "dtype object"),
    "a compound type": (
        with_kernel(lambda k: np.zeros(3, [("a", "f4"), ("b", "i4")])),
        "expected float32",
    ),
    "a number": (with_kernel(lambda k: np.float32(1)), "shape (), expected (2304, 5"),
    "no space": (with_kernel(lambda k: h5py.Empty("f4")), "an array without data"),
    "transposed": (with_kernel(lambda k: k.T), "it looks transposed"),
    "another width": (with_kernel(lambda k: k[:, :99]), "shape (2304, 99)"),
    "flat": (with_kernel(np.ravel), "shape (1179648,)"),
    "no kernel": (without(KERNEL), f"{KERNEL}: found no array"),
    "no bias": (
        without("dense_1/dense_1/bias:0"),
        "dense_1/dense_1/bias:0: found no array",
    ),
    "no layer": (without("conv2d"), "conv2d: found no group"),
    "a group for an array": (group_for_array, f"{KERNEL}: found no array"),
    "an absurd size": (
        lambda f: declare(f, (1 << 40, 1 << 20), chunks=(64, 64)),
        "shape (1099511627776, 1048576)",
    ),
    "absurd chunks": (
        lambda f: declare(f, SHAPE, chunks=(1 << 14, 1 << 14), maxshape=(None,) * 2),
        "chunks of (16384, 16384)",
    ),
    "data in another file": (
        lambda f: declare(f, SHAPE, external=[("raw.bin", 0, 2304 * 512 * 4)]),
        "in another file",
    ),
    "a virtual data set": (virtual, "in another file"),
    "a lossy filter": (
        lambda f: store(f, scaleoffset=2),
        "found the filter 6 (scaleoffset)",
    ),
    "an unknown filter": (unknown_filter, "found the filter 32767"),
    "an external link for a layer": (
        with_link("dense", h5py.ExternalLink("other.h5", "/dense")),
        "dense: found an external link",
    ),
    "an external link for an array": (
        with_link(KERNEL, h5py.ExternalLink("other.h5", "/x")),
        f"{KERNEL}: found an external link",
    ),
    "an external link for the optimizer": (
        with_link("optimizer_weights", h5py.ExternalLink("other.h5", "/x")),
        "optimizer_weights: found an external link",
    ),
    "a soft link for a layer": (
        with_link("conv2d", h5py.SoftLink("/dense")),
        "conv2d: found a soft link",
    ),
    "a soft link for an array": (
        with_link(KERNEL, h5py.SoftLink("/x")),
        f"{KERNEL}: found a soft link",
    ),
    "a soft link to itself": (
        with_link("loop", h5py.SoftLink("/loop")),
        "loop: found a soft link",
    ),
    "a group in itself": (
        lambda f: f.__setitem__("dense/again", f["dense"]),
        "a group that contains itself",
    ),
    "a named type": (
        lambda f: f.__setitem__("dense/type", np.dtype("f4")),
        "dense/type: found a Datatype",
    ),
    "thousands of groups": (
        lambda f: [f.create_group(f"g{i}") for i in range(10_001)],
        "more than 10,000 objects",
    ),
    "two models": (two_models(9), "model_weights: found weights that differ"),
    "NaN for load_model alone": (
        two_models(np.nan),
        "model_weights/dense/dense/kernel:0: found nan at [0, 0], expected finite",
    ),
    "another network": (
        with_attribute("model_config", np.bytes_("{}")),
        "model_config: class_name: found null",
    ),
    "layers in another order": (
        reversed_names("layer_names"),
        "layers in another order (dense_1, dense, conv2d_3",
    ),
    "a layer several times": (
        with_attribute("layer_names", np.array(["dense"] * 7, "S")),
        "found 7 layers with arrays (dense, dense, dense",
    ),
    "layer_names of another type": (
        with_attribute("layer_names", 7),
        "attribute layer_names: found no list",
    ),
    "layer_names of numbers": (
        with_attribute("layer_names", [1, 2]),
        "attribute layer_names: found no names",
    ),
    "layer_names in another encoding": (
        with_attribute("layer_names", np.array([b"\xff\xfe"])),
        "found no text in UTF-8",
    ),
    "no weight_names": (
        without_attribute("weight_names", "dense"),
        "found 5 layers with arrays (conv2d, conv2d_1, conv2d_2, conv2d_3, dense_1)",
    ),
    "bias before kernel": (
        reversed_names("weight_names", "dense"),
        "dense/dense/bias:0: found shape (512,), expected (2304, 512)",
    ),
    "Theano's kernels": (
        with_attribute("backend", np.bytes_("theano")),
        "backend: found 'theano'",
    ),
    "Theano's kernels for load_model alone": (
        with_attribute("backend", np.bytes_("theano"), "model_weights"),
        "model_weights/backend: found 'theano'",
    ),
    "one inner model": (
        grouped("model", 0, 6),
        "layer_names: found 1 layer with arrays (model), expected 6",
    ),
    "two layers in one group": (
        grouped("block", 1, 3),
        "found 5 layers with arrays (conv2d, block, conv2d_3, dense, dense_1)",
    ),
    "a layer in two groups": (
        split_layer,
        "found 7 layers with arrays (conv2d, more, conv2d_1",
    ),
    "a bias in the next group": (
        move_bias,
        "conv2d: found 1 arrays, expected 2: kernel and bias",
    ),
    "arrays of the model itself": (
        top_level,
        "top_level_model_weights: found arrays of the model itself",
    ),
    "a path that only HDF5 knows": (
        with_attribute("layer_names", np.array(["./conv2d"], "S")),
        "attribute layer_names: found the name './conv2d', expected a path",
    ),
    "no groups": (lambda f: f.clear(), "conv2d: found no group"),
    "nothing": (nothing, "no attribute layer_names and no group layers"),
}

# What is made of a good file's bytes, and what the refusal says.
NOT_HDF5: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "found an empty file"),
    "cut in the header": (lambda good: good[:100], "not readable as HDF5"),
    "cut in the data": (lambda good: good[:50_000], "not readable as HDF5"),
    "one byte short": (lambda good: good[:-1], "not readable as HDF5"),
    "text": (lambda good: b"these are no weights", "not readable as HDF5"),
    "an archive": (lambda good: lzma.compress(good[:9999]), "not readable as HDF5"),
    "zeros": (lambda good: bytes(5_000_000), "not readable as HDF5"),
    "a flipped bit in the data": (
        lambda good: good[:300_000] + bytes([good[300_000] ^ 1]) + good[300_001:],
        "dense/dense/kernel:0: found a chunk that is no gzip",
    ),
}


def flip_bits(data: st.DataObject, content: bytes) -> bytes:
    """Flips a few bits that Hypothesis chooses."""
    damaged = bytearray(content)
    # HDF5's own structures are mostly at the beginning and between the arrays.
    places = st.one_of(st.integers(0, 4000), st.integers(0, len(content) - 1))
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(places)] ^= 1 << data.draw(st.integers(0, 7))
    return bytes(damaged)

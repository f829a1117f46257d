import json
import lzma
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shears.model.architecture import LAYERS, SHAPES
from shears.runtime.errors import UserError
from shears.weight_files.canonical import read_weights, write_weights
from shears.weight_files.reader import read_keras_file, who_loads
from tests.conftest import make_weights, refused
from tools.keras_files import pattern, table

FOLDER = Path(__file__).parents[2] / "data/keras_files"
GENUINE = sorted(path.stem for path in FOLDER.glob("*.xz"))
GRADERS = {
    "TensorFlow 2.2": "tensorflow-2.2",
    "TensorFlow 2.15": "tensorflow-2.15",
    "tf_keras 2.21": "tf_keras-2.21",
    "Keras 3.15": "keras-3.15",
}
KERNEL = "dense/dense/kernel:0"


def unpack(name: str, folder: Path) -> Path:
    """A genuine file, unpacked."""
    path = folder / name
    with lzma.open(FOLDER / f"{name}.xz") as source, path.open("wb") as target:
        shutil.copyfileobj(source, target)
    return path


def test_there_are_genuine_files():
    assert len(GENUINE) >= 34


@pytest.mark.parametrize("name", GENUINE)
def test_genuine_files_are_read_and_it_is_known_who_loads_them(tmp_path, name):
    path = unpack(name, tmp_path)
    found = read_keras_file(path)
    for array, expected in zip(found.weights, pattern(SHAPES), strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == np.float32
    assert bool(found.described) == (".save.h5" in name)
    writer = name.partition("-")[2].split(".")[:2]
    old = name.startswith(("tensorflow-2.1.", "tensorflow-2.2."))
    if found.layout.startswith("Keras 2") and not old:
        assert found.writer.split(".")[:2] == writer
    state = [text for text in found.ignored if "optimizer" in text]
    with_state = ".save.h5" in name or (name.endswith(".weights.h5") and not old)
    assert len(state) == with_state
    for grader, ways in who_loads(found, path).items():
        measured = json.loads((FOLDER / f"{GRADERS[grader]}.loads.json").read_text())
        assert ways == measured[name], grader


def test_keras_3_weights_under_another_name_load_nowhere(tmp_path):
    name = "keras-3.15.sequential.save_weights.weights.h5"
    path = unpack(name, tmp_path).rename(tmp_path / "my_model_weights.h5")
    assert not any(who_loads(read_keras_file(path), path).values())


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    path = tmp_path_factory.mktemp("ours") / "weights.h5"
    write_weights(path, make_weights(0, zeros=0.9))
    return path


def test_our_own_file_is_read_and_loads_everywhere(ours):
    found = read_keras_file(ours)
    for array, expected in zip(found.weights, read_weights(ours), strict=True):
        np.testing.assert_array_equal(array, expected)
    ways = who_loads(found, ours)
    assert ways.keys() == GRADERS.keys()
    assert all(way == ["load_weights", "load_model"] for way in ways.values())
    assert found.ignored == []


def stored_in(file, **options) -> None:
    """Stores a kernel anew, in both places where our file has it."""
    data = file[KERNEL][:]
    del file[KERNEL]
    file.create_dataset(KERNEL, data=data, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True},
        {"compression": "lzf"},
        {"fletcher32": True},
        {"chunks": (2304, 512)},
        {},
    ],
)
def test_lossless_filters_of_hdf5_are_read(tmp_path, ours, options):
    path = Path(shutil.copyfile(ours, tmp_path / "a.h5"))
    with h5py.File(path, "r+") as file:
        stored_in(file, **options)
    for array, expected in zip(
        read_keras_file(path).weights, read_weights(ours), strict=True
    ):
        np.testing.assert_array_equal(array, expected)


def replace(file, data) -> None:
    del file[KERNEL]
    file[KERNEL] = data


def value(number):
    def spoil(file):
        data = file[KERNEL][:]
        data[7, 7] = number
        file[KERNEL][:] = data

    return spoil


def declared(file, shape, **options) -> None:
    """Puts a kernel there that declares a size and holds nothing."""
    del file[KERNEL]
    file.create_dataset(KERNEL, shape=shape, dtype="f4", **options)


def virtual(file) -> None:
    layout = h5py.VirtualLayout((2304, 512), np.float32)
    layout[:] = h5py.VirtualSource("other.h5", "x", (2304, 512))
    del file[KERNEL]
    file.create_virtual_dataset(KERNEL, layout)


def linked(file, name, link) -> None:
    if name in file:
        del file[name]
    file[name] = link


def own_model(file) -> None:
    """Gives load_model other weights than load_weights."""
    del file["model_weights/dense"]
    file.copy("dense", file["model_weights"])
    file["model_weights/dense/dense/kernel:0"][0, 0] += 1


def keras_1(file) -> None:
    for group in (file, file["model_weights"]):
        group.attrs["keras_version"] = np.bytes_("1.2.2")


def filtered(file) -> None:
    """Stores a kernel by a filter that nobody has (32,767 is for testing)."""
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


BAD = {
    "NaN": (value(np.nan), "found nan at [7, 7], expected finite"),
    "infinity": (value(-np.inf), "found -inf at [7, 7], expected finite"),
    "a denormal": (value(np.float32(1e-40)), "denormal 9.99995e-41 at [7, 7]"),
    "float16": (lambda f: replace(f, f[KERNEL][:].astype("f2")), "dtype float16"),
    "float64": (lambda f: replace(f, f[KERNEL][:].astype("f8")), "dtype float64"),
    "another byte order": (
        lambda f: replace(f, f[KERNEL][:].astype(">f4")),
        "dtype >f4",
    ),
    "text": (lambda f: replace(f, "text"), "dtype object"),
    "transposed": (lambda f: replace(f, f[KERNEL][:].T), "it looks transposed"),
    "another width": (lambda f: replace(f, f[KERNEL][:, :99]), "shape (2304, 99)"),
    "flat": (lambda f: replace(f, f[KERNEL][:].ravel()), "shape (1179648,)"),
    "no array": (lambda f: f.__delitem__(KERNEL), f"{KERNEL}: found no array"),
    "no layer": (lambda f: f.__delitem__("dense"), "dense: found no group"),
    "an absurd size": (
        lambda f: declared(f, (1 << 40, 1 << 20), chunks=(64, 64)),
        "shape (1099511627776, 1048576)",
    ),
    "absurd chunks": (
        lambda f: declared(
            f, (2304, 512), chunks=(1 << 14, 1 << 14), maxshape=(None,) * 2
        ),
        "chunks of (16384, 16384)",
    ),
    "data in another file": (
        lambda f: declared(f, (2304, 512), external=[("raw.bin", 0, 2304 * 512 * 4)]),
        "in another file",
    ),
    "a virtual data set": (virtual, "in another file"),
    "a filter that loses": (
        lambda f: stored_in(f, scaleoffset=2),
        "found the filter 6 (scaleoffset)",
    ),
    "a filter nobody has": (filtered, "found the filter 32767"),
    "an external link": (
        lambda f: linked(f, "dense", h5py.ExternalLink("other.h5", "/dense")),
        "dense: found an external link",
    ),
    "an external link inside": (
        lambda f: linked(f, KERNEL, h5py.ExternalLink("other.h5", "/x")),
        f"{KERNEL}: found an external link",
    ),
    "an external link for the optimizer": (
        lambda f: linked(f, "optimizer_weights", h5py.ExternalLink("other.h5", "/x")),
        "optimizer_weights: found an external link",
    ),
    "a soft link": (
        lambda f: linked(f, KERNEL, h5py.SoftLink("/x")),
        f"{KERNEL}: found a soft link",
    ),
    "a circle": (
        lambda f: linked(f, "dense/again", f["dense"]),
        "a group that contains itself",
    ),
    "a named type": (
        lambda f: linked(f, "dense/type", np.dtype("f4")),
        "dense/type: found a Datatype",
    ),
    "a stray array": (
        lambda f: f["dense"].create_dataset("x", data=[1.0]),
        "dense/x: found an array that no layer",
    ),
    "a stray array at the root": (
        lambda f: f.create_dataset("x", data=[1.0]),
        "x: found an array that no layer",
    ),
    "thousands of groups": (
        lambda f: [f.create_group(f"g{i}") for i in range(10_001)],
        "more than 10,000 objects",
    ),
    "two models": (own_model, "model_weights: found other weights"),
    "layers in another order": (
        lambda f: f.attrs.__setitem__("layer_names", f.attrs["layer_names"][::-1]),
        "layers in another order (dense_1, dense, conv2d_3",
    ),
    "a layer twice": (
        lambda f: f.attrs.__setitem__("layer_names", np.array(["dense"] * 7, "S")),
        "found 14 arrays, expected 12",
    ),
    "layer_names of another type": (
        lambda f: f.attrs.__setitem__("layer_names", 7),
        "attribute layer_names: found no list",
    ),
    "layer_names of numbers": (
        lambda f: f.attrs.__setitem__("layer_names", [1, 2]),
        "attribute layer_names: found no names",
    ),
    "layer_names in another encoding": (
        lambda f: f.attrs.__setitem__("layer_names", np.array([b"\xff\xfe"])),
        "found no text in UTF-8",
    ),
    "no weight_names": (
        lambda f: f["dense"].attrs.__delitem__("weight_names"),
        "dense: found no attribute weight_names",
    ),
    "bias before kernel": (
        lambda f: f["dense"].attrs.__setitem__(
            "weight_names", f["dense"].attrs["weight_names"][::-1]
        ),
        "found 'bias' as array 9, expected 'kernel'",
    ),
    "Theano's kernels": (
        lambda f: f.attrs.__setitem__("backend", np.bytes_("theano")),
        "backend: found 'theano'",
    ),
    "Keras 1": (keras_1, "keras_version: found '1.2.2'"),
    "no version": (
        lambda f: [
            g.attrs.__delitem__("keras_version") for g in (f, f["model_weights"])
        ],
        "found no attribute keras_version",
    ),
    "nothing": (
        lambda f: (f.clear(), [f.attrs.__delitem__(key) for key in list(f.attrs)]),
        "no attribute layer_names and no group layers",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_are_refused_in_a_line(tmp_path, ours, kind):
    path = Path(shutil.copyfile(ours, tmp_path / "bad.h5"))
    spoil, message = BAD[kind]
    with h5py.File(path, "r+") as file:
        spoil(file)
    with refused(path, message):
        read_keras_file(path)


BAD_3 = {
    "a bias is missing": (
        lambda f: f.__delitem__("layers/dense/vars/1"),
        "layers/dense/vars/1: found no array",
    ),
    "batch norm": (
        lambda f: f.copy("layers/dense", "layers/batch_normalization"),
        "layers/batch_normalization/vars/0: found an array that no layer",
    ),
    "a layer is missing": (
        lambda f: f.__delitem__("layers/dense"),
        "layers: found 1 layers dense with weights, expected 2",
    ),
    "another layer": (
        lambda f: f.copy("layers/dense", "layers/dense_2"),
        "layers: found 3 layers dense with weights, expected 2",
    ),
    "another shape": (
        lambda f: (
            f.__delitem__("layers/conv2d/vars/0"),
            f.create_dataset(
                "layers/conv2d/vars/0", data=np.zeros((3, 3, 32, 3), "f4")
            ),
        ),
        "found shape (3, 3, 32, 3), expected (3, 3, 3, 32): it looks transposed",
    ),
}


@pytest.mark.parametrize("kind", BAD_3)
def test_bad_files_of_keras_3_are_refused_in_a_line(tmp_path, kind):
    path = unpack("keras-3.15.sequential.save_weights.weights.h5", tmp_path)
    spoil, message = BAD_3[kind]
    with h5py.File(path, "r+") as file:
        spoil(file)
    with refused(path, message):
        read_keras_file(path)


def layer_of(model: dict, kind: str, number: int = 0) -> dict:
    """A layer's configuration, by class."""
    layers = model["config"]["layers"]
    return [x for x in layers if x["class_name"] == kind][number]["config"]


def insert(model: dict, place: int, kind: str, **config) -> None:
    model["config"]["layers"].insert(place, {"class_name": kind, "config": config})


BAD_MODELS = {
    "a Lambda layer": (
        lambda m: insert(m, 3, "Lambda", name="l", function=["4wEAAAAA", None, None]),
        'layers[3] (Lambda): found "Lambda", expected',
    ),
    "tanh": (
        lambda m: layer_of(m, "Conv2D", 1).update(activation="tanh"),
        'activation: found "tanh", expected "relu"',
    ),
    "no softmax": (
        lambda m: layer_of(m, "Dense", 1).update(activation="linear"),
        'activation: found "linear", expected "softmax"',
    ),
    "batch norm": (
        lambda m: insert(m, 2, "BatchNormalization", name="b"),
        'found "BatchNormalization", expected "Conv2D"',
    ),
    "padding": (
        lambda m: layer_of(m, "Conv2D", 1).update(padding="same"),
        'padding: found "same", expected "valid"',
    ),
    "strides": (
        lambda m: layer_of(m, "Conv2D", 0).update(strides=[2, 2]),
        "strides: found [2, 2], expected [1, 1]",
    ),
    "dilation": (
        lambda m: layer_of(m, "Conv2D", 0).update(dilation_rate=[2, 2]),
        "dilation_rate: found [2, 2]",
    ),
    "wide pooling": (
        lambda m: layer_of(m, "MaxPooling2D").update(pool_size=[3, 3]),
        "pool_size: found [3, 3]",
    ),
    "average pooling": (
        lambda m: m["config"]["layers"][3].update(class_name="AveragePooling2D"),
        'found "AveragePooling2D", expected "MaxPooling2D"',
    ),
    "no bias": (
        lambda m: layer_of(m, "Dense", 0).update(use_bias=False),
        "use_bias: found false, expected true",
    ),
    "channels first": (
        lambda m: layer_of(m, "Conv2D", 0).update(data_format="channels_first"),
        'data_format: found "channels_first"',
    ),
    "another width": (
        lambda m: layer_of(m, "Dense", 0).update(units=256),
        "units: found 256, expected 512",
    ),
    "half precision": (
        lambda m: layer_of(m, "Dense", 0).update(dtype="float16"),
        'dtype: found "float16", expected "float32"',
    ),
    "mixed precision": (
        lambda m: layer_of(m, "Dense", 0).update(
            dtype={"class_name": "Policy", "config": {"name": "mixed_bfloat16"}}
        ),
        'dtype: found "mixed_bfloat16"',
    ),
    "another input": (
        lambda m: layer_of(m, "InputLayer").update(batch_input_shape=[None, 28, 28, 1]),
        "input shape: found [null, 28, 28, 1]",
    ),
    "a layer more": (
        lambda m: insert(m, 13, "Dense", name="d", units=10, activation="softmax"),
        "expected the end, after 9 layers",
    ),
    "a layer less": (
        lambda m: m["config"]["layers"].pop(),
        "layers: found 8, expected 9",
    ),
    "a model in the model": (
        lambda m: insert(m, 1, "Sequential", name="s", layers=[]),
        'found "Sequential", expected "Conv2D"',
    ),
    "another class": (
        lambda m: m.update(class_name="Evil"),
        'class_name: found "Evil", expected Sequential',
    ),
    "no layers": (lambda m: m["config"].pop("layers"), "layers: found null, expected"),
    "a layer that is text": (
        lambda m: m["config"]["layers"].insert(0, "Conv2D"),
        'layers[0]: found "Conv2D", expected a mapping',
    ),
}


@pytest.mark.parametrize("kind", BAD_MODELS)
def test_other_networks_are_refused_in_a_line(tmp_path, ours, kind):
    path = Path(shutil.copyfile(ours, tmp_path / "bad.h5"))
    spoil, message = BAD_MODELS[kind]
    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        spoil(model)
        file.attrs["model_config"] = np.bytes_(json.dumps(model))
    with refused(path, message):
        read_keras_file(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found no JSON"),
        ("{", "found no JSON"),
        ("[]", "model: found [], expected a mapping"),
        ("[" * 50_000, "found no JSON"),
    ],
)
def test_a_configuration_that_is_none_is_refused_in_a_line(
    tmp_path, ours, text, message
):
    path = Path(shutil.copyfile(ours, tmp_path / "bad.h5"))
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = text
    with refused(path, message):
        read_keras_file(path)


@pytest.mark.parametrize("name", [n for n in GENUINE if "functional.save.h5" in n])
def test_a_graph_that_goes_another_way_is_refused(tmp_path, name):
    path = unpack(name, tmp_path)
    with h5py.File(path, "r+") as file:
        model = json.loads(file.attrs["model_config"])
        layers = model["config"]["layers"]
        # The second convolution takes what the first takes: a fork, not a row.
        layers[2]["inbound_nodes"] = layers[1]["inbound_nodes"]
        file.attrs["model_config"] = json.dumps(model)
    with refused(path, "expected the layer before as its input"):
        read_keras_file(path)


CONTENTS = {
    "empty": (lambda good: b"", "found an empty file"),
    "cut in the header": (lambda good: good[:100], "not readable as HDF5"),
    "cut in the data": (lambda good: good[:50_000], "not readable as HDF5"),
    "one byte short": (lambda good: good[:-1], "not readable as HDF5"),
    "text": (lambda good: b"these are no weights", "not readable as HDF5"),
    "an archive": (lambda good: lzma.compress(good[:9999]), "not readable as HDF5"),
    "zeros": (lambda good: bytes(5_000_000), "not readable as HDF5"),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_is_no_hdf5_is_refused_in_a_line(tmp_path, ours, kind):
    path = tmp_path / "bad.h5"
    make, message = CONTENTS[kind]
    path.write_bytes(make(ours.read_bytes()))
    with refused(path, message):
        read_keras_file(path)


def test_a_folder_or_nothing_is_refused_in_a_line(tmp_path):
    for path in (tmp_path, tmp_path / "none.h5"):
        with refused(path, "expected a weights file"):
            read_keras_file(path)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_no_damage_makes_reading_crash(tmp_path, ours, data):
    content = bytearray(ours.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(
            st.one_of(st.integers(0, 4000), st.integers(0, len(content) - 1))
        )
        content[place] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path / "bad.h5"
    path.write_bytes(content)
    try:
        for array, shape in zip(read_keras_file(path).weights, SHAPES, strict=True):
            assert array.shape == shape
            assert np.isfinite(array).all()
    except UserError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)


def test_names_in_a_file_cannot_write_to_the_terminal(tmp_path, ours):
    path = tmp_path / "bad.h5"
    path.write_bytes(ours.read_bytes())
    with h5py.File(path, "a") as file:
        file["a\x1b[2Jb\nc\u202e" + 500 * "d"] = np.zeros(3, np.float32)
    with refused(path, r"a\x1b[2Jb c\u202eddd"):
        read_keras_file(path)


def test_layers_have_shapes_that_tell_them_apart():
    # "layers in another order" is found by shapes alone.
    assert len({layer.kernel for layer in LAYERS}) == len(LAYERS)


def test_the_documented_table_is_the_measured_one(capsys):
    table(str(FOLDER))
    page = Path(__file__).parents[3] / "docs/scorer.md"
    assert f"<!-- loads -->\n{capsys.readouterr().out}<!-- end -->" in page.read_text()

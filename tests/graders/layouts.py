"""Generates weights files in layouts that nobody has seen, from a seed.

Each file is made from parts that are drawn: which layers are listed and in which
groups, how names are stored, which layers the description has besides, and so on. Most
files have one thing that is unusual, some have several.
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from shears.model.architecture import LAYERS, NAMES
from shears.weight_files.canonical import _model_config
from tests.unit.weight_files.genuine_files import GENUINE, unpack
from tools.keras_files import pattern

Arrays = list[np.ndarray]
#: Layers that do nothing at inference: class, and keys that every version knows.
NOTHING: list[tuple[str, dict[str, Any]]] = [
    ("Activation", {"activation": "linear"}),
    ("ActivityRegularization", {"l1": 0.1, "l2": 0.0}),
    ("AlphaDropout", {"rate": 0.5}),
    ("CenterCrop", {"height": 32, "width": 32}),
    ("Dropout", {"rate": 0.9, "seed": 3}),
    ("GaussianDropout", {"rate": 0.5}),
    ("GaussianDropout", {"rate": 0.5, "seed": 3}),
    ("GaussianNoise", {"stddev": 0.5}),
    ("Identity", {}),
    ("RandomBrightness", {"factor": 0.2}),
    ("RandomContrast", {"factor": 0.2}),
    ("RandomContrast", {"factor": 0.2, "value_range": [0, 1]}),
    ("RandomCrop", {"height": 32, "width": 32}),
    ("RandomFlip", {"mode": "horizontal"}),
    ("RandomFlip", {"mode": "horizontal", "data_format": "channels_last"}),
    ("RandomFlip", {"mode": "horizontal", "rng_type": "stateful"}),
    ("RandomRotation", {"factor": 0.2}),
    ("RandomRotation", {"factor": 0.2, "fill_value": 0.0}),
    ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.2}),
    ("RandomZoom", {"height_factor": 0.2}),
    ("Rescaling", {"scale": 1.0}),
    ("Rescaling", {"scale": 1, "offset": 0}),
    ("Resizing", {"height": 32, "width": 32}),
    ("Resizing", {"height": 32, "width": 32, "crop_to_aspect_ratio": False}),
    ("SpatialDropout2D", {"rate": 0.5}),
    ("SpatialDropout2D", {"rate": 0.5, "trainable": True}),
    ("SpatialDropout2D", {"rate": 0.5, "noise_shape": None}),
]
#: Such layers that only Keras 3 has, for images.
AUGMENTATIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in ("AugMix", "CutMix", "MixUp", "RandAugment")),
    *((name, {}) for name in ("RandomElasticTransform", "RandomErasing")),
    *((name, {}) for name in ("RandomGaussianBlur", "RandomGrayscale")),
    *((name, {}) for name in ("RandomInvert", "RandomPerspective")),
    *((name, {"factor": 0.2}) for name in ("RandomColorDegeneration", "RandomHue")),
    *((name, {"factor": 0.2}) for name in ("RandomSaturation", "RandomSharpness")),
    ("RandomColorJitter", {"brightness_factor": 0.2}),
    ("RandomPosterization", {"factor": 4}),
    ("RandomShear", {"x_factor": 0.2}),
]
#: Layers that only take images, not what a convolution computes.
IMAGES = {"CenterCrop", "RandomCrop", "Resizing"}
#: Layers that change predictions.
SOMETHING: list[tuple[str, dict[str, Any]]] = [
    ("Rescaling", {"scale": 2.0}),
    ("Rescaling", {"scale": 1.0, "offset": 0.5}),
    ("Activation", {"activation": "tanh"}),
    ("LeakyReLU", {}),
    ("ReLU", {"max_value": 0.5}),
    ("AveragePooling2D", {"pool_size": 2, "strides": 1, "padding": "same"}),
]


def network() -> Arrays:
    """Makes weights that pack into a few kB and load quickly."""
    arrays = pattern([(*layer.kernel,) for layer in LAYERS])
    biases = pattern([layer.kernel[-1:] for layer in LAYERS])
    return [array for pair in zip(arrays, biases, strict=True) for array in pair]


def _choose(random: np.random.Generator, values: list) -> Any:
    return values[int(random.integers(len(values)))]


def _store(group: h5py.Group, name: str, array: np.ndarray) -> None:
    group.create_dataset(name, data=array, compression="gzip", compression_opts=1)


def _names(names: list[str], how: str) -> np.ndarray | list[str]:
    """Makes an attribute that lists names, in one of the ways of h5py."""
    if how == "unicode" and names:
        return np.array(names, h5py.string_dtype("utf-8"))
    if how == "variable" and names:
        return np.array(names, h5py.string_dtype("ascii"))
    return np.array(names, "S")


class Groups(NamedTuple):
    """What a group of Keras 2's layout holds: layers in order, with their arrays."""

    layers: list[tuple[str, list[tuple[str, np.ndarray]]]]

    def write(
        self,
        group: h5py.Group,
        *,
        names: str = "bytes",
        attributes: dict[str, Any] | None = None,
        several: bool = False,
    ) -> None:
        """Writes them; names are stored as `names` says, or as several attributes."""
        listed = [layer for layer, _ in self.layers]
        if several:
            for i, layer in enumerate(listed):
                group.attrs[f"layer_names{i}"] = _names([layer], names)
        else:
            group.attrs["layer_names"] = _names(listed, names)
        for layer, arrays in self.layers:
            inner = group.require_group(layer)
            for name, array in arrays:
                if name not in inner:
                    _store(inner, name, array)
            if several and arrays:
                for i, (name, _) in enumerate(arrays):
                    inner.attrs[f"weight_names{i}"] = _names([name], names)
            else:
                inner.attrs["weight_names"] = _names([n for n, _ in arrays], names)
        default = {"backend": "tensorflow", "keras_version": "2.3.0-tf"}
        for key, value in (default | (attributes or {})).items():
            if value is not None:
                text = value if names == "unicode" else np.bytes_(value)
                group.attrs[key] = text


def plain() -> Groups:
    arrays = dict(zip(NAMES, network(), strict=True))
    return Groups(
        [
            (
                layer.name,
                [(n, a) for n, a in arrays.items() if n.startswith(f"{layer.name}/")],
            )
            for layer in LAYERS
        ]
    )


def wrapped(groups: Groups, first: int, last: int, name: str = "model") -> Groups:
    """Puts the layers from `first` up to `last` into one, as an inner model is."""
    inner = [pair for _, arrays in groups.layers[first:last] for pair in arrays]
    return Groups([*groups.layers[:first], (name, inner), *groups.layers[last:]])


def split(groups: Groups, which: int) -> Groups:
    """Splits a layer's arrays over two groups."""
    name, arrays = groups.layers[which]
    halves = [(name, arrays[:1]), (f"{name}_more", arrays[1:])]
    return Groups([*groups.layers[:which], *halves, *groups.layers[which + 1 :]])


def shared(groups: Groups, which: int) -> Groups:
    """Moves the bias of a layer to the next one."""
    layers = list(groups.layers)
    (name, arrays), (after, others) = layers[which : which + 2]
    layers[which : which + 2] = [(name, arrays[:1]), (after, [arrays[1], *others])]
    return Groups(layers)


def _replace(
    groups: Groups, which: int, change: Callable[[np.ndarray], np.ndarray]
) -> Groups:
    """Changes one of the twelve arrays."""
    layers = [(name, list(arrays)) for name, arrays in groups.layers]
    arrays = layers[which // 2][1]
    name, array = arrays[which % 2]
    arrays[which % 2] = (name, change(array))
    return Groups(layers)


def _map(groups: Groups, change: Callable[[np.ndarray], np.ndarray]) -> Groups:
    for which in range(12):
        groups = _replace(groups, which, change)
    return groups


def _batch_norm() -> tuple[str, list]:
    names = ["gamma:0", "beta:0", "moving_mean:0", "moving_variance:0"]
    arrays = [np.ones(32, np.float32) for _ in names]
    return "batch_normalization", list(zip(names, arrays, strict=True))


def draw_groups(random: np.random.Generator) -> Groups:
    """Draws layers, mostly with something unusual."""
    groups = plain()
    whole = len(groups.layers)
    which = int(random.integers(whole))
    kind = random.choice(
        [
            *("plain", "empty", "empty", "renamed", "renamed", "slashes", "arrays"),
            *("nested", "nested", "wrapped", "split", "shared", "reordered"),
            *("missing", "twice", "batch norm", "batch norm split", "weight_names"),
            *("float16", "float64", "one float64", "big-endian", "integers"),
            *("transposed", "theano's", "absolute", "dots", "no bias"),
        ]
    )
    if kind == "empty":
        for name in ("activation", "dropout", "flatten", "random_flip")[: which + 1]:
            groups.layers.insert(int(random.integers(len(groups.layers))), (name, []))
    elif kind == "renamed":
        order = random.permutation(whole)
        groups = Groups(
            [(f"l{i}", a) for i, (_, a) in zip(order, groups.layers, strict=True)]
        )
    elif kind == "slashes":
        groups = Groups([(f"scope/{n}", a) for n, a in groups.layers])
    elif kind == "arrays":
        groups = Groups(
            [
                (n, [(f"v/{i}", x) for i, (_, x) in enumerate(a)])
                for n, a in groups.layers
            ]
        )
    elif kind == "nested":
        groups = wrapped(groups, 0, whole)
    elif kind == "wrapped":
        groups = wrapped(groups, which, min(which + 2, whole))
    elif kind == "split":
        groups = split(groups, which)
    elif kind == "shared":
        groups = shared(groups, min(which, whole - 2))
    elif kind == "reordered":
        groups = Groups([groups.layers[i] for i in random.permutation(whole)])
    elif kind == "missing":
        del groups.layers[which]
    elif kind == "twice":
        groups.layers.append(groups.layers[which])
    elif kind == "batch norm":
        groups.layers.insert(which, _batch_norm())
    elif kind == "batch norm split":
        name, arrays = _batch_norm()
        groups.layers[which : which + 1] = [
            (groups.layers[which][0], groups.layers[which][1] + arrays[:2]),
            (name, arrays[2:]),
        ]
    elif kind == "weight_names":
        name, arrays = groups.layers[which]
        groups.layers[which] = (name, arrays[::-1])
    elif kind == "no bias":
        name, arrays = groups.layers[which]
        groups.layers[which] = (name, arrays[:1])
    elif kind in ("float16", "float64"):
        groups = _map(groups, lambda array: array.astype(kind))
    elif kind == "one float64":
        groups = _replace(groups, 2 * which, lambda a: a.astype("f8") + 1e-10)
    elif kind == "big-endian":
        groups = _map(groups, lambda array: array.astype(">f4"))
    elif kind == "integers":
        groups = _replace(groups, 2 * which + 1, lambda array: array.astype(int))
    elif kind == "transposed":
        groups = _replace(groups, 2 * which, np.transpose)
    elif kind == "theano's":  # TensorFlow 2 turns these round, Keras 3 does not
        groups = _replace(groups, 0, lambda a: np.transpose(a, (3, 2, 0, 1)))
    elif kind == "absolute":
        groups = Groups([(f"/{n}", a) for n, a in groups.layers])
    elif kind == "dots":
        groups = Groups([(f"./{n}", a) for n, a in groups.layers])
    return groups


def _descriptions(folder: Path) -> dict[str, str]:
    """Reads the descriptions of models that genuine versions of Keras wrote."""
    texts = {"ours": _model_config()}
    for name in GENUINE:
        if name.endswith(".save.h5"):
            path = unpack(name, folder)
            with h5py.File(path) as file:
                text = file.attrs["model_config"]
            texts[name] = text if isinstance(text, str) else text.decode()
            path.unlink()
        elif name.endswith(".save.keras"):
            path = unpack(name, folder)
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    texts[name] = archive.read("config.json").decode()
            path.unlink()
    return texts


def _insert(model: dict, random: np.random.Generator, layer: tuple) -> None:
    """Puts a layer into a row of layers."""
    kind, config = layer
    row = model["config"]["layers"]
    first = int(row[0]["class_name"] == "InputLayer")
    last = len(row)
    if kind in ("AveragePooling2D", "SpatialDropout2D") or kind.startswith("Random"):
        last = first + 3
    if kind in IMAGES or layer in AUGMENTATIONS:
        last = first
    if not first:  # the first layer tells the shape of the images
        first, last = 1, max(last, 1)
    new = {"class_name": kind, "config": {"name": f"added_{len(row)}", **config}}
    if "module" in row[0]:
        new |= {"module": "keras.layers", "registered_name": None}
    row.insert(int(random.integers(first, last + 1)), new)


def draw_description(
    random: np.random.Generator, texts: dict[str, str]
) -> tuple[str, bool]:
    """Draws a description; returns whether it is the fixed network's, too."""
    name = str(random.choice(sorted(texts)))
    model = json.loads(texts[name])
    row = model["config"]["layers"]
    kinds = ["plain", "nothing", "nothing", "something", "precision", "initialiser"]
    kind = random.choice(kinds)
    in_a_row = model["class_name"] == "Sequential"
    if kind == "nothing" and in_a_row:
        for _ in range(int(random.integers(1, 3))):
            _insert(model, random, _choose(random, NOTHING))
    elif kind == "something" and in_a_row:
        _insert(model, random, _choose(random, SOMETHING))
        return json.dumps(model), False
    elif kind == "something":
        dropout = next(layer for layer in row if layer["class_name"] == "Dropout")
        (node,) = dropout["inbound_nodes"]
        if isinstance(node, dict):
            node["kwargs"]["training"] = True
        else:
            node[0][3]["training"] = True
        return json.dumps(model), False
    elif kind == "initialiser":
        values = ["HeNormal", "TruncatedNormal", "L2", "L1L2", "Orthogonal", "Mine"]
        value = _choose(random, values)
        key = "kernel_regularizer" if "L" in value else "kernel_initializer"
        convolution = next(layer for layer in row if layer["class_name"] == "Conv2D")
        convolution["config"][key] = {"class_name": value, "config": {}}
        if "module" in convolution:
            module = {"module": f"keras.{key.partition('_')[2]}s"}
            convolution["config"][key] |= {**module, "registered_name": None}
    elif kind == "precision":
        policy = str(random.choice(["float16", "float64", "mixed_float16"]))
        for layer in row:
            config = layer["config"]
            if layer["class_name"] == "InputLayer":
                continue
            if isinstance(config.get("dtype"), dict):
                config["dtype"]["config"]["name"] = policy
            elif policy.startswith("mixed"):
                config["dtype"] = {"class_name": "Policy", "config": {"name": policy}}
            else:
                config["dtype"] = policy
    return json.dumps(model), True


def _training(random: np.random.Generator) -> str | None:
    """Draws what is compiled with a model."""
    if random.random() < 0.5:
        return None
    losses: list[Any] = ["sparse_categorical_crossentropy", "my_loss"]
    for reduction in ("auto", "sum_over_batch_size"):
        config = {"from_logits": False, "reduction": reduction, "name": "loss"}
        losses.append({"class_name": "CategoricalCrossentropy", "config": config})
    optimizers = ["Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Nadam"]
    rate = {"name": "o", "learning_rate": 0.01}
    optimizer = _choose(random, [*optimizers, "RMSprop", "SGD", "MyOptimizer"])
    training = {
        "loss": _choose(random, losses),
        "metrics": _choose(
            random, [["accuracy"], ["sparse_top_k_categorical_accuracy"]]
        ),
        "loss_weights": None,
        "optimizer_config": {"class_name": optimizer, "config": rate},
    }
    if random.random() < 0.5:
        training["sample_weight_mode"] = None
    return json.dumps(training)


def _options(random: np.random.Generator) -> dict[str, Any]:
    """Draws how names are stored, and what a group says about its writer."""
    attributes = {
        "keras_version": random.choice(
            ["2.3.0-tf", "3.15.1", "2.15.0", "1.2.2", "1", None]
        ),
        "backend": random.choice(["tensorflow", "jax", "theano", None]),
    }
    if random.random() < 0.4:
        attributes = {}
    return {
        "names": random.choice(["bytes", "variable", "unicode"], p=[0.6, 0.2, 0.2]),
        "attributes": attributes,
        "several": random.random() < 0.1,
    }


def _add_extras(file: h5py.File, random: np.random.Generator) -> None:
    """Adds what no loader asks for, or what it asks for besides."""
    kind = random.choice(["nothing", "group", "array", "inside", "top", "full top"])
    where = file["model_weights"] if "model_weights" in file else file
    if kind == "group":
        file.create_group("extra/empty")
    elif kind == "array":
        file["extra"] = np.ones(3, np.float32)
    elif kind == "inside":
        where["extra/kernel:0"] = np.ones((3, 3, 3, 32), np.float32)
    elif kind == "top":
        group = where.create_group("top_level_model_weights")
        group.attrs["weight_names"] = np.array([], "S")
    elif kind == "full top":
        group = where.create_group("top_level_model_weights")
        group["x"] = np.ones(3, np.float32)
        group.attrs["weight_names"] = np.array(["x"], "S")


def _describe(file: h5py.File, text: str, random: np.random.Generator) -> None:
    """Writes a description, as one of the types that hold text."""
    file.attrs["model_config"] = np.bytes_(text) if random.random() < 0.9 else text


def write_keras_2(
    path: Path, random: np.random.Generator, texts: dict[str, str]
) -> bool | None:
    """Writes a file in Keras 2's layout; returns whether it is the fixed network's."""
    whole = random.random() < 0.5
    # One unusual thing is enough, mostly.
    kinds = ["groups", "options", "extras", "description"]
    unusual = str(random.choice([*kinds, "all"]))
    usual = set() if unusual == "all" else {*kinds} - {unusual}
    groups = plain() if "groups" in usual else draw_groups(random)
    options = {} if "options" in usual else _options(random)
    fixed: bool | None = True
    with h5py.File(path, "w") as file:
        if not whole:
            groups.write(file, **options)
        else:
            groups.write(file.create_group("model_weights"), **options)
            text = texts[_choose(random, sorted(texts))]
            if "description" not in usual:
                text, fixed = draw_description(random, texts)
                training = _training(random)
                if training:
                    file.attrs["training_config"] = np.bytes_(training)
            if random.random() < 0.9:
                _describe(file, text, random)
            else:
                fixed = True
            if random.random() < 0.3:  # the root has layers, too
                same = random.random() < 0.7
                (groups if same else draw_groups(random)).write(file, **options)
                fixed = fixed if same else None
        if "extras" not in usual:
            _add_extras(file, random)
    return fixed


def write_model(
    path: Path, random: np.random.Generator, text: str, layers: list
) -> None:
    """Writes a whole model with layers besides the fixed network's."""
    model = json.loads(text)
    for layer in layers:
        _insert(model, random, layer)
    with h5py.File(path, "w") as file:
        plain().write(file.create_group("model_weights"))
        file.attrs["model_config"] = np.bytes_(json.dumps(model))


def _write_keras_3(file: h5py.File, random: np.random.Generator) -> bool:
    """Writes a file in Keras 3's layout; returns whether it is the fixed network's."""
    kind = random.choice(
        [
            *("plain", "no vars", "gap", "old root", "old root with a gap"),
            *("batch norm", "state", "float64", "float16", "nested", "reordered"),
            *("stray in a layer", "stray at the root", "empty layers", "no bias"),
        ]
    )
    root = "_layer_checkpoint_dependencies" if "old root" in kind else "layers"
    root = f"{root}/sequential/layers" if kind == "nested" else root
    names = [name.split("/")[0] for name in NAMES[::2]]
    if "gap" in kind:
        names = ["conv2d", "conv2d_1", "conv2d_3", "conv2d_4", "dense", "dense_1"]
    elif kind == "reordered":
        names = [names[i] for i in random.permutation(len(names))]
    if kind != "no vars":
        file.create_group("vars")
    arrays = network()
    for i, name in enumerate(names):
        for j in range(2):
            array = arrays[2 * i + j]
            if kind.startswith("float"):
                array = array.astype(kind)
            if not (kind == "no bias" and i == 3 and j):
                _store(file.require_group(f"{root}/{name}/vars"), str(j), array)
    if kind == "batch norm":
        for j in range(4):
            file[f"{root}/batch_normalization/vars/{j}"] = np.ones(32, np.float32)
        return False
    if kind == "state":
        file[f"{root}/dropout/seed_generator/vars/0"] = np.zeros(2, np.uint32)
        file["optimizer/vars/0"] = np.int64(0)
    elif kind == "stray in a layer":
        file[f"{root}/activation/vars/0"] = np.ones(3, np.float32)
    elif kind == "stray at the root":
        file["vars/0"] = np.ones(3, np.float32)
    elif kind == "empty layers":
        for name in ("activation", "max_pooling2d", "flatten", "random_flip"):
            file.create_group(f"{root}/{name}/vars")
    return True


def write_archive(
    path: Path, random: np.random.Generator, texts: dict[str, str]
) -> bool:
    """Writes a ``.keras`` file; returns whether it is the fixed network's."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fixed = _write_keras_3(file, random)
    archives = {name: text for name, text in texts.items() if ".save.keras" in name}
    text, described = draw_description(random, archives)
    version = {"keras_version": "3.15.1"} if random.random() < 0.7 else {}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps(version))
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", content.getvalue())
    return fixed and described


def write_files(folder: Path, seed: int, count: int) -> dict[str, bool | None]:
    """Writes files with each of the layers above, and `count` drawn ones.

    Returns:
        By name, whether it holds the fixed network, as far as the file says; None if it
        may hold two networks.
    """
    random = np.random.default_rng(seed)
    texts = _descriptions(folder)
    keras_2 = {name: text for name, text in texts.items() if ".keras" not in name}
    rows = [t for t in keras_2.values() if json.loads(t)["class_name"] == "Sequential"]
    files: dict[str, bool | None] = {}
    some = [AUGMENTATIONS[start : start + 6] for start in range(0, 18, 6)]
    added = [*([layer] for layer in [*NOTHING, *SOMETHING]), *some]
    for number, layers in enumerate(added):
        path = folder / f"layers_{number:02}_{layers[0][0]}.h5"
        write_model(path, random, rows[number % len(rows)], layers)
        files[path.name] = layers[0] not in SOMETHING
    suffixes: dict[str, tuple[list[str], list[float]]] = {
        "2": ([".h5", ".weights.h5", ".hdf5", ".keras", ".bin"], [0.8] + [0.05] * 4),
        "3": ([".weights.h5", ".h5"], [0.9, 0.1]),
        "keras": ([".keras", ".h5"], [0.9, 0.1]),
    }
    for number in range(count):
        kind = str(random.choice(["2", "3", "keras"], p=[0.75, 0.13, 0.12]))
        names, shares = suffixes[kind]
        path = folder / f"drawn_{number:03}{random.choice(names, p=shares)}"
        if kind == "2":
            files[path.name] = write_keras_2(path, random, keras_2)
        elif kind == "3":
            with h5py.File(path, "w") as file:
                files[path.name] = _write_keras_3(file, random)
        else:
            files[path.name] = write_archive(path, random, texts)
    return files

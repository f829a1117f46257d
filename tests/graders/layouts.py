"""Generates weights files in layouts that nobody has seen, from a seed.

Each file is made from parts that are drawn: which layers are listed and in which
groups, how names are stored, which layers the description has besides, and so on. Most
files have one thing that is unusual, some have several.
"""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from shears.model.architecture import NAMES
from tests.graders.descriptions import (
    AUGMENTATIONS,
    NOTHING,
    SOMETHING,
    choose,
    draw_description,
    draw_training,
    insert,
    read_descriptions,
)
from tests.graders.graphs import GRAPHS, change_graph, is_graph
from tests.graders.groups import (
    Groups,
    changed,
    draw_groups,
    network,
    plain,
    store,
    wrapped,
)

TURNS = 3  # how many versions' forms each change of a graph is written in


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
            text = texts[choose(random, sorted(texts))]
            if "description" not in usual:
                text, fixed = draw_description(random, texts)
                training = draw_training(random)
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
        insert(model, random, layer)
    with h5py.File(path, "w") as file:
        plain().write(file.create_group("model_weights"))
        file.attrs["model_config"] = np.bytes_(json.dumps(model))


KERAS_3 = [
    *("plain", "no vars", "gap", "old root", "old root with a gap"),
    *("batch norm", "state", "float64", "float16", "nested", "reordered"),
    *("stray in a layer", "stray at the root", "empty layers", "no bias"),
]


def _write_keras_3(
    file: h5py.File, random: np.random.Generator, kind: str | None = None
) -> bool:
    """Writes a file in Keras 3's layout; returns whether it is the fixed network's.

    Args:
        file: The open file.
        random: Draws what is not given.
        kind: What is unusual.
    """
    kind = kind or str(random.choice(KERAS_3))
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
                store(file.require_group(f"{root}/{name}/vars"), str(j), array)
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
    _pack(path, version, text, content.getvalue())
    return fixed and described


def _pack(path: Path, version: dict[str, str], text: str, weights: bytes) -> None:
    """Writes the three members of a ``.keras`` file."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps(version))
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", weights)


USUAL: dict[str, Any] = {}
THEANO = {"attributes": {"backend": "theano"}}
VARIABLE, UNICODE = {"names": "variable"}, {"names": "unicode"}
#: What the groups of a whole model have that is unusual: those at the root, if there
#: are any, and those in model_weights. Loaders may take one of them alone.
WHOLE: dict[str, tuple[tuple[Groups, dict] | None, tuple[Groups, dict]]] = {
    "theano_at_the_root": ((plain(), THEANO), (plain(), USUAL)),
    "theano_inside": ((plain(), USUAL), (plain(), THEANO)),
    "theano_alone": (None, (plain(), THEANO)),
    "theano_in_both": ((plain(), THEANO), (plain(), THEANO)),
    "variable_at_the_root": ((plain(), VARIABLE), (plain(), USUAL)),
    "variable_inside": ((plain(), USUAL), (plain(), VARIABLE)),
    "variable_alone": (None, (plain(), VARIABLE)),
    "unicode_at_the_root": ((plain(), UNICODE), (plain(), USUAL)),
    "unicode_inside": ((plain(), USUAL), (plain(), UNICODE)),
    "one_layer_at_the_root": ((wrapped(plain(), 0, 6), USUAL), (plain(), USUAL)),
    "one_layer_inside": ((plain(), USUAL), (wrapped(plain(), 0, 6), USUAL)),
    "one_layer_alone": (None, (wrapped(plain(), 0, 6), USUAL)),
    "nan_inside": ((plain(), USUAL), (changed(plain(), np.nan), USUAL)),
    "another_number_inside": ((plain(), USUAL), (changed(plain(), 0.5), USUAL)),
}


def _write_graphs(folder: Path, texts: dict[str, str]) -> dict[str, bool | None]:
    """Writes a model with each change of a graph, in the forms of several versions."""
    files = {}
    graphs = [name for name in sorted(texts) if is_graph(texts[name])]
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        _write_keras_3(file, np.random.default_rng(0), "plain")
    for number, (kind, (_, fixed)) in enumerate(GRAPHS.items()):
        for turn in range(TURNS):
            name = graphs[(number + turn * len(graphs) // TURNS) % len(graphs)]
            text = change_graph(texts[name], kind)
            suffix = ".keras" if ".save.keras" in name else ".h5"
            slug = kind.replace(" ", "_")
            path = folder / f"graph_{number:02}{turn}_{slug}{suffix}"
            if suffix == ".keras":
                _pack(path, {}, text, content.getvalue())
            else:
                write_model(path, np.random.default_rng(0), text, [])
            files[path.name] = fixed
    return files


def _write_listed(folder: Path, text: str) -> dict[str, bool | None]:
    """Writes the whole models above, and each kind of Keras 3's layout."""
    files: dict[str, bool | None] = {}
    for kind, (root, inside) in WHOLE.items():
        path = folder / f"whole_{kind}.h5"
        with h5py.File(path, "w") as file:
            for group, place in (
                (root, file),
                (inside, file.create_group("model_weights")),
            ):
                if group is not None:
                    group[0].write(place, **group[1])
            file.attrs["model_config"] = np.bytes_(text)
        files[path.name] = None
    for kind in KERAS_3:
        path = folder / f"layers_{kind.replace(' ', '_')}.weights.h5"
        with h5py.File(path, "w") as file:
            files[path.name] = _write_keras_3(file, np.random.default_rng(1), kind)
    return files


def write_files(folder: Path, seed: int, count: int) -> dict[str, bool | None]:
    """Writes files with each of the layers and changes above, and `count` drawn ones.

    Returns:
        By name, whether it holds the fixed network, as far as the file says; None if it
        may hold two networks.
    """
    random = np.random.default_rng(seed)
    texts = read_descriptions(folder)
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
    return files | _write_graphs(folder, texts) | _write_listed(folder, texts["ours"])

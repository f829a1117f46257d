"""Descriptions of models that no Keras version wrote: drawn from a seed, or listed."""

import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from shears.weight_files.canonical import _model_config
from tests.unit.weight_files.genuine_files import GENUINE, unpack

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


def choose(random: np.random.Generator, values: list) -> Any:
    return values[int(random.integers(len(values)))]


def read_descriptions(folder: Path) -> dict[str, str]:
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


def insert(model: dict, random: np.random.Generator, layer: tuple) -> None:
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
            insert(model, random, choose(random, NOTHING))
    elif kind == "something" and in_a_row:
        insert(model, random, choose(random, SOMETHING))
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
        value = choose(random, values)
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


def draw_training(random: np.random.Generator) -> str | None:
    """Draws what is compiled with a model."""
    if random.random() < 0.5:
        return None
    losses: list[Any] = ["sparse_categorical_crossentropy", "my_loss"]
    for reduction in ("auto", "sum_over_batch_size"):
        config = {"from_logits": False, "reduction": reduction, "name": "loss"}
        losses.append({"class_name": "CategoricalCrossentropy", "config": config})
    optimizers = ["Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Nadam"]
    rate = {"name": "o", "learning_rate": 0.01}
    optimizer = choose(random, [*optimizers, "RMSprop", "SGD", "MyOptimizer"])
    training = {
        "loss": choose(random, losses),
        "metrics": choose(
            random, [["accuracy"], ["sparse_top_k_categorical_accuracy"]]
        ),
        "loss_weights": None,
        "optimizer_config": {"class_name": optimizer, "config": rate},
    }
    if random.random() < 0.5:
        training["sample_weight_mode"] = None
    return json.dumps(training)

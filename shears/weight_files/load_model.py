"""Predicts which graders' ``load_model`` builds the model that a file describes.

tests/graders compares the predictions with what the genuine loaders do.
"""

import json
from collections.abc import Iterator, Mapping, Set
from typing import Any

from shears.weight_files.layouts import GRADERS
from shears.weight_files.model_config import TENSORFLOW_NAMES, ModelDescription

TF_2_2, TF_2_15, TF_KERAS, KERAS_3 = GRADERS
NONE: frozenset[str] = frozenset()

# The keys that some version writes for a layer, by its class. A loader that does not
# know a key, or the class, builds no model.
_ARRAYS = "kernel_initializer bias_initializer kernel_regularizer bias_regularizer "
_ARRAYS += "activity_regularizer kernel_constraint bias_constraint"
_RANDOM = "seed data_format rng_type"
_FILL = "fill_mode fill_value interpolation"
KEYS = {
    "InputLayer": "batch_shape sparse ragged optional",
    "Conv2D": "filters kernel_size strides padding data_format dilation_rate groups "
    f"activation use_bias {_ARRAYS}",
    "Dense": f"units activation use_bias quantization_config {_ARRAYS}",
    "MaxPooling2D": "pool_size strides padding data_format",
    "Flatten": "data_format",
    "Activation": "activation",
    "ReLU": "max_value negative_slope threshold",
    "Softmax": "axis",
    "ActivityRegularization": "l1 l2",
    "AlphaDropout": "rate seed noise_shape",
    "CenterCrop": "height width data_format",
    "Dropout": "rate seed noise_shape",
    "GaussianDropout": "rate seed",
    "GaussianNoise": "stddev seed",
    "Identity": "",
    "RandomBrightness": f"factor value_range {_RANDOM}",
    "RandomContrast": f"factor value_range {_RANDOM}",
    "RandomCrop": f"height width {_RANDOM}",
    "RandomFlip": f"mode {_RANDOM}",
    "RandomRotation": f"factor {_FILL} {_RANDOM}",
    "RandomTranslation": f"height_factor width_factor {_FILL} {_RANDOM}",
    "RandomZoom": f"height_factor width_factor {_FILL} {_RANDOM}",
    "Rescaling": "scale offset",
    "Resizing": "height width crop_to_aspect_ratio pad_to_aspect_ratio antialias "
    f"data_format {_FILL}",
    "SpatialDropout2D": "rate seed noise_shape data_format",
}
EVERYWHERE = ("name", "trainable", "dtype", "batch_input_shape")
# Classes and keys that a version does not know, of those.
_IMAGES = "CenterCrop RandomBrightness RandomContrast RandomCrop RandomFlip Resizing "
_IMAGES += "RandomRotation RandomTranslation RandomZoom"
UNKNOWN: dict[str, tuple[str, dict[str, str]]] = {
    TF_2_2: (
        "Identity RandomBrightness RandomZoom",
        {
            "InputLayer": "batch_shape optional",
            "Conv2D": "groups",
            "Dense": "quantization_config",
            "AlphaDropout GaussianDropout GaussianNoise": "seed",
            "Rescaling": "offset",
            "SpatialDropout2D": "data_format",
            _IMAGES: "data_format rng_type value_range fill_value antialias "
            "crop_to_aspect_ratio pad_to_aspect_ratio",
        },
    ),
    TF_2_15: (
        "",
        {
            "InputLayer": "batch_shape optional",
            "Dense": "quantization_config",
            "SpatialDropout2D": "data_format",
            _IMAGES: "data_format antialias pad_to_aspect_ratio",
            "RandomContrast": "value_range",
            "Resizing": "fill_mode fill_value",
        },
    ),
    TF_KERAS: (
        "",
        {
            "InputLayer": "batch_shape",
            "Dense": "quantization_config",
            "SpatialDropout2D": "data_format",
            _IMAGES: "data_format antialias pad_to_aspect_ratio",
            "RandomContrast": "value_range",
            "Resizing": "fill_mode fill_value",
        },
    ),
    KERAS_3: (
        "",
        {_IMAGES: "rng_type", "SpatialDropout2D": "noise_shape trainable"},
    ),
}
# What is compiled with a model: the classes and functions that every loader knows (but
# AdamW).
OPTIMIZERS = {
    *("Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Nadam", "RMSprop"),
    *("SGD", "LossScaleOptimizer", "LossScaleOptimizerV3", "DynamicLossScale"),
    *("CosineDecay", "ExponentialDecay", "InverseTimeDecay"),
    *("PiecewiseConstantDecay", "PolynomialDecay"),
}
LOSSES = {"SparseCategoricalCrossentropy", "CategoricalCrossentropy"}
METRICS = {
    *("accuracy", "acc", "MeanMetricWrapper"),
    *("sparse_categorical_crossentropy", "categorical_crossentropy"),
    *("sparse_categorical_accuracy", "SparseCategoricalAccuracy"),
    *("categorical_accuracy", "CategoricalAccuracy"),
    *("sparse_top_k_categorical_accuracy", "SparseTopKCategoricalAccuracy"),
    *("top_k_categorical_accuracy", "TopKCategoricalAccuracy"),
}
TRAINING = OPTIMIZERS | LOSSES | METRICS
NAMED = ("loss", "metrics", "weighted_metrics")  # where names of these stand
# Initialisers and regularisers that every loader knows, and those of Keras 2.3 on.
STARTING = {"Constant", "GlorotNormal", "GlorotUniform", "L1L2", "Ones", "Orthogonal"}
STARTING |= {"RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling"}
STARTING |= {"Zeros"}
LATER = {"HeNormal", "HeUniform", "L1", "L2", "LecunNormal", "LecunUniform"}


def _unknown_keys(grader: str, kind: str) -> Set[str]:
    """Lists the keys of a class that a version does not know."""
    keys = (keys for kinds, keys in UNKNOWN[grader][1].items() if kind in kinds.split())
    return set(" ".join(keys).split())


def _knows_layer(grader: str, kind: str, config: Mapping[str, Any]) -> bool:
    """Returns whether a version builds a layer from its configuration."""
    if kind not in KEYS:  # one of Keras 3's augmentations
        return grader == KERAS_3
    if grader == KERAS_3 and kind == "Rescaling" and "offset" not in config:
        return False
    known = {*KEYS[kind].split(), *EVERYWHERE} - _unknown_keys(grader, kind)
    if kind in UNKNOWN[grader][0].split() or not config.keys() <= known:
        return False
    if isinstance(function := config.get("activation"), dict):
        # Keras 3 builds layers, and functions of Keras; none finds TensorFlow's.
        if grader != KERAS_3 or str(function.get("config")) in TENSORFLOW_NAMES:
            return False
    functions = STARTING if grader == TF_2_2 else STARTING | LATER
    for key in _ARRAYS.split():
        value = config.get(key)
        name = value.get("class_name") if isinstance(value, dict) else value
        if name is not None and str(name) not in functions:
            return False
    policy = config.get("dtype")
    if isinstance(policy, dict):
        old = policy.get("class_name") == "Policy"
        fails = grader == TF_2_2 and _config(policy).get("name") == "mixed_bfloat16"
        return old != (grader == KERAS_3) and not fails
    return policy is None or not policy.startswith("mixed_")


def _knows_calls(grader: str, description: ModelDescription) -> bool:
    """Returns whether a version makes the calls of a functional model's layers.

    No layer of the network takes an argument but ``training``.
    """
    if description.model["class_name"] == "Sequential":
        return True
    for layer in description.model["config"]["layers"]:
        for node in layer.get("inbound_nodes", []):
            if isinstance(node, dict):
                if grader == KERAS_3 and not {"args", "kwargs"} <= node.keys():
                    return False
                arguments = [node.get("kwargs")]
            else:  # [[layer, node, tensor, arguments]]
                inputs = node if isinstance(node, list) else []
                arguments = [x[3] for x in inputs if isinstance(x, list) and x[3:]]
            names = {key for x in arguments if isinstance(x, dict) for key in x}
            if names - {"training"}:
                return False
    return True


def _takes_images(description: ModelDescription) -> bool:
    """Returns whether Keras 3's augmentations all stand before the convolutions."""
    kinds = [kind for kind, _ in description.layers]
    return all(kind in KEYS for kind in kinds[kinds.index("Conv2D") :])


def _knows_input(grader: str, description: ModelDescription) -> bool:
    """Returns whether a version finds the shape of the images."""
    kind, config = description.layers[0]
    if kind == "InputLayer":
        return "batch_shape" in config or "batch_input_shape" in config
    return grader != KERAS_3 and "batch_input_shape" in config


def _names(value: object, key: str = "") -> Iterator[object]:
    """Lists the classes, losses and metrics in what is compiled with a model."""
    if isinstance(value, dict):
        if "class_name" in value:
            yield value["class_name"]
        for inner, item in value.items():
            if isinstance(item, dict) or inner in NAMED:
                yield from _names(item, inner)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item, key)
    elif value is not None and key in NAMED:
        yield value


def _config(value: object) -> Mapping[str, Any]:
    """Returns the configuration of an object; empty if it has none."""
    config = value.get("config") if isinstance(value, dict) else None
    return config if isinstance(config, dict) else {}


def _compilers(training: object, *, archive: bool) -> frozenset[str]:
    """Predicts which graders compile a model with its loss, metrics and optimizer."""
    if training is None:
        return frozenset(GRADERS)
    if not isinstance(training, dict):
        return NONE
    names = {str(name) for name in _names(training)}
    if not {name.removeprefix("Custom>") for name in names} <= TRAINING:
        return NONE
    if not archive and not {"optimizer_config", "loss_weights"} <= training.keys():
        return NONE
    graders = {*GRADERS}
    if "sample_weight_mode" not in training or "Custom>AdamW" in names:
        graders -= {TF_2_2}
    if "AdamW" in names and not archive:  # Keras 2 calls it Custom>AdamW there
        graders &= {KERAS_3}
    # Keras 3 does not know these of Keras 2, the latter not in a .keras file.
    if _config(training.get("loss")).get("reduction") == "auto":
        graders -= {KERAS_3}
    if "is_legacy_optimizer" in _config(training.get("optimizer")):
        graders -= {KERAS_3}
    return frozenset(graders)


def _archive_graders(description: ModelDescription) -> Set[str]:
    """Predicts which graders know the form of a ``.keras`` file's description."""
    (_, first), *others = description.layers
    if "batch_shape" in first:
        return {KERAS_3}
    graders = {TF_2_15, TF_KERAS}
    if description.model["class_name"] == "Sequential":
        # Keras 3 overlooks the shape only in the form of a .h5 file.
        again = any("batch_input_shape" in config for _, config in others)
        return graders if again else graders | {KERAS_3}
    module = str(description.model.get("module"))  # it has another place in each
    return {TF_KERAS} if module.startswith("tf_keras.") else graders


def model_graders(
    description: ModelDescription, training: str | None, *, archive: bool
) -> frozenset[str]:
    """Predicts which graders build the described model.

    Args:
        description: The description.
        training: What is compiled with the model, JSON; None if it is not compiled.
        archive: Whether it is in a ``.keras`` file.
    """
    try:
        compilers = _compilers(json.loads(training or "null"), archive=archive)
    except (ValueError, RecursionError):
        return NONE
    names = [config.get("name") for _, config in description.layers]
    if len(set(map(str, names))) < len(names) and None not in names:
        return NONE
    graders = {
        grader
        for grader in compilers
        if _knows_input(grader, description)
        and _knows_calls(grader, description)
        and all(_knows_layer(grader, *layer) for layer in description.layers)
    }
    if description.model["class_name"] == "Functional":
        graders -= {TF_2_2}
    if not _takes_images(description):
        graders -= {KERAS_3}
    if archive:
        graders &= _archive_graders(description)
    return frozenset(graders)

"""Writes and loads genuine weights files, with any version of Keras.

    PYTHON tools/keras_files.py write FOLDER NAME
    PYTHON tools/keras_files.py load FOLDER NAME
    PYTHON tools/keras_files.py table FOLDER

PYTHON is one with TensorFlow 2.1 or later (with tf_keras: TF_USE_LEGACY_KERAS=1). It
needs nothing from this project, and no newer syntax than Python 3.6. `write` saves the
fixed network in every way that Keras offers, as FOLDER/NAME.*.xz, with the weights
of `pattern`. `load` loads every such file and writes to FOLDER/NAME.loads.json which of
`load_weights` and `load_model` give these weights. `table` lays that out in Markdown.
tests/data/keras_files has the results; the tests compare them with what
shears.weight_files.reader predicts.
"""

import glob
import json
import lzma
import os
import shutil
import sys
import tempfile

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np  # noqa: E402


def get_keras():
    """Imports the Keras that the environment selects."""
    if os.environ.get("TF_USE_LEGACY_KERAS"):
        import tf_keras

        return tf_keras
    import tensorflow

    return tensorflow.keras


def sequential():
    """Builds the network as the assignment's notebook does."""
    keras, layers = get_keras(), get_keras().layers
    model = keras.Sequential()
    for layer in (
        layers.Conv2D(32, (3, 3), padding="same", input_shape=(32, 32, 3)),
        layers.Activation("relu"),
        layers.Conv2D(32, (3, 3)),
        layers.Activation("relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Dropout(0.25),
        layers.Conv2D(64, (3, 3), padding="same"),
        layers.Activation("relu"),
        layers.Conv2D(64, (3, 3)),
        layers.Activation("relu"),
        layers.MaxPooling2D(pool_size=(2, 2)),
        layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(512),
        layers.Activation("relu"),
        layers.Dropout(0.5),
        layers.Dense(10),
        layers.Activation("softmax"),
    ):
        model.add(layer)
    return model


def functional():
    """Builds the same as a graph, with activations in the layers and other names."""
    keras, layers = get_keras(), get_keras().layers
    x = images = keras.Input((32, 32, 3), name="images")
    for layer in (
        layers.Conv2D(32, 3, padding="same", activation="relu", name="first"),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(0.25),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.Conv2D(64, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(512, activation="relu"),
        layers.Dropout(0.5),
        layers.Dense(10, activation="softmax", name="last"),
    ):
        x = layer(x)
    return keras.Model(images, x)


def pattern(shapes):
    """Makes known weights that are mostly zero, so that they pack into a few kB."""
    weights = []
    for i, shape in enumerate(shapes):
        flat = np.zeros(int(np.prod(shape)), np.float32)
        flat[::997] = (np.arange(len(flat[::997])) % 7 + 1 + i) / 8
        weights.append(flat.reshape(shape))
    return weights


def write(folder, name):
    """Saves two models, each in four ways."""
    for kind, build in (("sequential", sequential), ("functional", functional)):
        model = build()
        shapes = [weight.shape for weight in model.get_weights()]
        model.set_weights([np.zeros(shape, np.float32) for shape in shapes])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        # A step on black images, so that the optimizer has a state, mostly zero.
        images = np.zeros((8, 32, 32, 3), np.float32)
        model.fit(images, np.arange(8), batch_size=8, verbose=0)
        model.set_weights(pattern(shapes))
        for way, save in (
            ("save_weights.h5", model.save_weights),
            ("save_weights.weights.h5", model.save_weights),
            ("save.h5", model.save),
            ("save.keras", model.save),
        ):
            with tempfile.TemporaryDirectory() as place:
                path = os.path.join(place, way)
                try:
                    save(path)
                except ValueError as error:  # Keras 3 refuses a name of Keras 2
                    print(f"{name} {kind} {way}: {error}")
                    continue
                archive = os.path.join(folder, f"{name}.{kind}.{way}.xz")
                with open(path, "rb") as source, lzma.open(archive, "wb") as target:
                    shutil.copyfileobj(source, target)


def load(folder, name):
    """Loads every file in both ways."""
    loads = {}
    for archive in sorted(glob.glob(os.path.join(folder, "*.xz"))):
        kind = os.path.basename(archive)[:-3]
        loads[kind] = []
        with tempfile.TemporaryDirectory() as place:
            path = os.path.join(place, kind)
            with lzma.open(archive) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target)
            for way in ("load_weights", "load_model"):
                try:
                    if way == "load_weights":
                        model = sequential()
                        model.load_weights(path)
                    else:
                        model = get_keras().models.load_model(path)
                except Exception as error:
                    print(kind, way, type(error).__name__, str(error)[:80])
                    continue
                weights = model.get_weights()
                expected = pattern([weight.shape for weight in weights])
                if all(np.array_equal(*pair) for pair in zip(weights, expected)):  # noqa: B905
                    loads[kind].append(way)
                else:
                    print(kind, way, "gives other weights")
    path = os.path.join(folder, name + ".loads.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(loads, file, indent=1, sort_keys=True)


def table(folder):
    """Prints which Keras loads which file: W by load_weights, M by load_model.

    A question mark stands where it was not measured.
    """
    loads = {}
    for path in sorted(glob.glob(os.path.join(folder, "*.loads.json"))):
        with open(path, encoding="utf-8") as file:
            loads[os.path.basename(path)[: -len(".loads.json")]] = json.load(file)
    files = sorted(next(iter(loads.values())))
    short = {"load_weights": "W", "load_model": "M"}
    print("| written by | " + " | ".join(loads) + " |")
    print("| --- " * (len(loads) + 1) + "|")
    for name in files:
        cells = [
            " ".join(short[way] for way in ways[name]) if name in ways else "?"
            for ways in loads.values()
        ]
        print("| " + " | ".join([name, *cells]) + " |")


if __name__ == "__main__":
    commands = {"write": write, "load": load, "table": table}
    commands[sys.argv[1]](*sys.argv[2:])

"""Loads weights files as a grader does, with the TensorFlow that is installed.

    PYTHON tests/graders/load.py FOLDER IMAGES OUTCOMES

Loads every file of FOLDER by `load_weights` into the assignment's network and by
`load_model`. Writes to OUTCOMES (JSON), by file and by way: the SHA-256 of the loaded
weights and the outputs for IMAGES (.npy), or the error. Loading that never ends, as
`load_model` does for some descriptions, is an error, too. It needs nothing from this
project but tools/keras_files.py, and no newer syntax than Python 3.6.
"""

import hashlib
import importlib.util
import json
import os
import signal
import sys

import numpy as np

PLACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
spec = importlib.util.spec_from_file_location(
    "keras_files", os.path.join(PLACE, "tools/keras_files.py")
)
keras_files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(keras_files)


SECONDS = 10  # of processor time, in which a file is loaded; a good one takes one


def give_up(*_):
    raise TimeoutError("loading takes more than %d seconds" % SECONDS)  # noqa: UP031


def digest(arrays):
    content = b"".join(np.asarray(array, np.float32).tobytes() for array in arrays)
    return hashlib.sha256(content).hexdigest()


folder, images, target = sys.argv[1:]
signal.signal(signal.SIGPROF, give_up)
images = np.load(images)
network = keras_files.sequential()
nothing = [np.zeros_like(array) for array in network.get_weights()]
outcomes = {}
outputs = {}  # of the assignment's network, by its weights


def load(path, way):
    if way == "load_weights":
        model = network
        model.set_weights(nothing)  # so that nothing stays of the last file
        model.load_weights(path)
    else:
        model = keras_files.get_keras().models.load_model(path)
    weights = digest(model.get_weights())
    if model is network and weights in outputs:
        return {"weights": weights, "outputs": outputs[weights]}
    predicted = np.asarray(model(images, training=False), np.float64).tolist()
    if model is network:
        outputs[weights] = predicted
    return {"weights": weights, "outputs": predicted}


def load_in_time(path, way):
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        return load(path, way)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


for name in sorted(os.listdir(folder)):
    outcomes[name] = {}
    for way in ("load_weights", "load_model"):
        try:
            outcome = load_in_time(os.path.join(folder, name), way)
        except Exception as error:
            outcome = {"error": "%s: %s" % (type(error).__name__, error)}  # noqa: UP031
        outcomes[name][way] = outcome
with open(target, "w", encoding="utf-8") as file:
    json.dump(outcomes, file)

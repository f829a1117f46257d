"""Loads a weights file as a grader does, with the TensorFlow that is installed.

    PYTHON tests/graders/load.py WEIGHTS IMAGES OUTPUTS

Writes the weights and the outputs for IMAGES (.npy) to OUTPUTS (.npz), once by
`load_weights` into the assignment's network and once by `load_model`. It needs nothing
from this project but tools/keras_files.py, and no newer syntax than Python 3.6.
"""

import importlib.util
import os
import sys

import numpy as np

PLACE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
spec = importlib.util.spec_from_file_location(
    "keras_files", os.path.join(PLACE, "tools/keras_files.py")
)
keras_files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(keras_files)

weights, images, target = sys.argv[1:]
images = np.load(images)
outputs = {}
for way in ("load_weights", "load_model"):
    if way == "load_weights":
        model = keras_files.sequential()
        model.load_weights(weights)
    else:
        model = keras_files.get_keras().models.load_model(weights)
    for i, array in enumerate(model.get_weights()):
        outputs["%s_%02d" % (way, i)] = array  # noqa: UP031
    outputs[way] = model.predict(images)
np.savez(target, **outputs)

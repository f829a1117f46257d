"""An assignment's grader of its own: shares no code with the project.

python tests/grade.py WEIGHTS DATASET builds the network from scratch, loads the
weights, and prints the score on the test images of a prepared data set. Exits with 1
when it is 0.
"""

import sys

import h5py
import numpy as np
from keras import Sequential, layers


def grade(weights: str, dataset: str) -> dict[str, float]:
    """Computes accuracy, zeros, parameters and score from the two files alone."""
    model = Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(32, (3, 3), padding="same"),
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
        ]
    )
    model.load_weights(weights)
    with h5py.File(dataset, "r") as file:
        images = file["test/images"][:].astype("float32") / 255
        labels = file["test/labels"][:]
    predictions = np.argmax(model.predict(images, verbose=0), axis=1)
    accuracy = float(np.mean(predictions == labels))
    zeros = sum(int((w == 0).sum()) for w in model.get_weights())
    parameters = model.count_params()
    score = (accuracy + zeros / parameters) / 2 if accuracy > 0.65 else 0.0
    return {
        "accuracy": accuracy,
        "zeros": zeros,
        "parameters": parameters,
        "score": score,
    }


if __name__ == "__main__":
    result = grade(*sys.argv[1:])
    print(", ".join(f"{key} {value}" for key, value in result.items()))
    sys.exit(result["score"] == 0)

"""Trains and prunes the fixed network with TensorFlow Model Optimization.

It does what a user might do without Shears: Keras 2's fit, its default initial weights
and Adam, the assignment's dropout, then `prune_low_magnitude` with PolynomialDecay over
the first half of fine-tuning (the other half trains the final mask). It runs in its own
environment (envs/requirements-peer.lock) and imports nothing from Shears;
`tools.bench_peer` passes images in and reads weights back.
"""

import json
import os
import sys
import time

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
import tensorflow_model_optimization as tfmot  # noqa: E402
import tf_keras  # noqa: E402

BATCH = 128
CROP = 4


def build() -> tf_keras.Model:
    """Builds the assignment's network."""
    layers = tf_keras.layers
    return tf_keras.Sequential(
        [
            layers.Input((32, 32, 3)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
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
            layers.Dense(10, activation="softmax"),
        ]
    )


def augment(image: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Shifts by up to four pixels, edges reflected, and mirrors at random."""
    image = tf.cast(image, tf.float32) / 255
    image = tf.pad(image, ((CROP, CROP), (CROP, CROP), (0, 0)), "REFLECT")
    return tf.image.random_flip_left_right(tf.image.random_crop(image, (32, 32, 3))), (
        label
    )


def main() -> None:
    """Trains and prunes; arguments: images file, weights file, budget as JSON."""
    images_file, weights_file, about = sys.argv[1:]
    budget = json.loads(about)
    tf_keras.utils.set_random_seed(budget["seed"])
    with np.load(images_file) as file:
        images, labels = file["images"], file["labels"].astype(np.int32)
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    data = data.shuffle(len(images)).map(augment, tf.data.AUTOTUNE)
    data = data.batch(BATCH, drop_remainder=True).prefetch(2)
    steps = len(images) // BATCH * budget["prune_epochs"]

    start = time.perf_counter()
    model = build()
    compiled = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile("adam", **compiled)
    model.fit(data, epochs=budget["dense_epochs"], verbose=2)
    # Masks are made at multiples of `frequency` only. The end must be one, or the final
    # sparsity is never reached.
    frequency = max(1, steps // 2 // budget["update_count"])
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0,
        budget["sparsity"],
        begin_step=0,
        end_step=steps // 2 // frequency * frequency,
        frequency=frequency,
    )
    pruned = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    pruned.compile("adam", **compiled)
    update = tfmot.sparsity.keras.UpdatePruningStep()
    pruned.fit(data, epochs=budget["prune_epochs"], callbacks=[update], verbose=2)
    weights = tfmot.sparsity.keras.strip_pruning(pruned).get_weights()
    seconds = time.perf_counter() - start
    np.savez(weights_file, *weights, seconds=seconds)


if __name__ == "__main__":
    main()

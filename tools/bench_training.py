"""Prints images a second of our training step and of Keras' fit, and their ratio.

Both train the fixed network on the same random images, batch 128, in one process on
one machine; the two take turns so that a busy moment hits both. Ours does what the
default recipe asks for (augmentation, dropout, weight decay) in the precision that
`auto` picks.
"""

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import yaml

from shears import machine
from shears.architecture import initial_weights
from shears.backend import tf
from shears.dataset import Split
from shears.device import choose_precision, prepare
from shears.network import build_keras_model
from shears.training import Recipe, Step

ROOT = Path(__file__).resolve().parents[1]
BATCH = 128


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=7, help="measurements of each")
    parser.add_argument("--steps", type=int, default=60, help="steps a measurement")
    arguments = parser.parse_args()
    device = prepare()
    precision = choose_precision("auto")
    rng = np.random.default_rng(0)
    count = BATCH * arguments.steps
    images = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
    labels = rng.integers(0, 10, count).astype(np.uint8)

    recipe = yaml.safe_load((ROOT / "config.yaml").read_text())["recipes"]["strong"]
    recipe = Recipe(**{"momentum": 0.0, **recipe, "batch_size": BATCH})
    step = Step(
        initial_weights(0), Split(images, labels), recipe, precision=precision, seed=0
    )
    order = np.arange(count, dtype=np.int32).reshape(-1, BATCH)

    def ours() -> float:
        began = time.perf_counter()
        for i, rows in enumerate(order):
            step(tf.constant(rows), tf.constant(i), tf.constant(1e-3))
        step.sums.numpy()  # waits for the last step
        return count / (time.perf_counter() - began)

    model = build_keras_model()
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile="auto")
    scaled = images.astype(np.float32) / 255

    def keras_fit() -> float:
        began = time.perf_counter()
        model.fit(scaled, labels, batch_size=BATCH, epochs=1, verbose=0)
        return count / (time.perf_counter() - began)

    for warm in (ours, keras_fit):
        warm()
    pairs = [(ours(), keras_fit()) for _ in range(arguments.turns)]
    ratios = [mine / theirs for mine, theirs in pairs]
    about = machine.describe()
    print(f"{about['cpu']}, {about['cores']} cores, {device}, commit {about['commit']}")
    rows = [(f"ours ({precision})", [p[0] for p in pairs], ",.0f")]
    rows += [("Keras fit (float32)", [p[1] for p in pairs], ",.0f")]
    rows += [("ratio", ratios, ".2f")]
    for name, values, form in rows:
        print(
            f"{name:22} median {statistics.median(values):{form}}"
            f"  least {min(values):{form}}  most {max(values):{form}}"
            f"  n {len(values)}" + ("" if name == "ratio" else "  images/s")
        )


if __name__ == "__main__":
    main()

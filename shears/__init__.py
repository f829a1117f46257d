"""Shears: train, prune, score and package the fixed CIFAR-10 network.

The library knows nothing of Snakemake; rules and scripts hand it plain values and paths.
"""

import os

# Before TensorFlow is first imported, or its start-up notes bury the progress lines.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

"""Shears: train, prune, score and package the fixed CIFAR-10 network.

The library knows nothing of Snakemake: scripts hand it plain values and paths.
"""
